"""Every named crash point in the product kills its process there, again and again.

The points are found in the source text.  Each belongs to a scenario that passes it; the process
dies there each time it comes back, three times where it comes by again, then the installation
runs without the variable and is judged.  A point that nobody passes fails its test, so that none
can look safe without having been reached.  What this installation never does within a minute (an
hour that ends, sixty million ids, another engine) is reached in its room's own tests, which have
to name it.
"""

import re
from pathlib import Path

import pytest

from .oracle import judge
from .processes import Installation, wait_for
from .producer import Load, Producer

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["proto", "agent", "aggregator"]
POINT = re.compile(r'crash(?:_point)?\(\s*"([a-z0-9_]+(?:\.[a-z0-9_]+)+)"')
DEATHS = 3
# Passed once, while there is nothing yet.
FIRST_START = {"agent.ship.bound"}
# Passed when a file of the log is full.
FULL_FILES = {"wal.rotated", "wal.sealing"}
ALWAYS_PASSED = {"wal.opening", "wal.written", "wal.synced", "wal.published"}
SMALL_FILES = {
    "OPENTRAIL_LOG_MAX_BYTES": "8MB",
    "OPENTRAIL_LOG_SEGMENT_BYTES": "1MB",
}
ELSEWHERE = {
    "agent.ship.forked": "agent",
    "agent.ship.set_aside": "agent",
    "agent.spool.epoch": "agent",
    "consolidate.spilled": "aggregator/consolidate",
    "digest.": "aggregator/digest",
    "ids.": "aggregator/consolidate",
    "index.day.dropped": "aggregator/index",
    "archive.spilled": "aggregator/archive",
    "opensearch.": "aggregator/opensearch",
    "rebuild.": "aggregator/rebuild",
    "trails.": "aggregator/trails",
    "wal.": "aggregator/ingest",
}


def points() -> list[str]:
    text = "".join(path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    # The one room whose points are named by a prefix.
    return sorted(set(POINT.findall(text.replace('f"{self._room}.', '"wal.'))))


def elsewhere(point: str) -> str | None:
    """The test folder that reaches `point`, for those that no scenario here does."""
    if point in FIRST_START | FULL_FILES | ALWAYS_PASSED:
        return None
    return next((folder for start, folder in ELSEWHERE.items() if point.startswith(start)), None)


def test_the_points_are_found() -> None:
    assert len(points()) >= 40


@pytest.mark.parametrize("point", [each for each in points() if elsewhere(each)])
def test_a_point_that_is_not_passed_here_is_named_in_its_rooms_tests(point: str) -> None:
    folder = ROOT / "tests" / (elsewhere(point) or "")
    is_named = any(f'"{point}' in path.read_text() for path in folder.rglob("*.py"))
    assert is_named


@pytest.mark.long
@pytest.mark.parametrize("point", [each for each in points() if not elsewhere(each)])
def test_dying_at_a_point_again_and_again_costs_nothing(
    installation: Installation, tmp_path: Path, point: str
) -> None:
    producer = Producer(tmp_path / "source", 61)
    producer.write(300)
    environment = {"OPENTRAIL_CRASH_AT": point} | (SMALL_FILES if point in FULL_FILES else {})
    if point not in FIRST_START:
        installation.start(producer.pattern)
        installation.wait_until_drained(producer.owed.lines)
        installation.stop()
    if point in FULL_FILES:
        producer.write(40_000, plain=True)
    installation.start(producer.pattern, environment=environment, wait=False)
    with Load(producer, 200, rotate_every_seconds=1.0):
        deaths = 1 if point in FIRST_START else DEATHS
        wait_for(f"{deaths} deaths at {point}", lambda: installation.deaths() >= deaths, 60)
    installation.destroy()
    installation.start(producer.pattern)
    judge(installation, producer, at_least=300, repeats=True)
