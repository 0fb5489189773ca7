"""Killed at any named point, any number of times, OpenSearch ends up with the same content."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aggregator.opensearch.harness import DAY, Room
from tests.real.opensearch import OpenSearchNode

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
POINTS = [
    "opensearch.before.bulk", "opensearch.after.bulk", "opensearch.before.cursor",
    "opensearch.cursor.written", "opensearch.days.counted",
]  # fmt: skip
RETENTION = 3
EVENTS = 360
Content = tuple[list[str], int, int]


@pytest.fixture
def room(opensearch_node: OpenSearchNode, tmp_path: Path) -> Iterator[Room]:
    opensearch_node.clear()
    made = Room(tmp_path / "home", opensearch_node.url, days=RETENTION)
    made.indexer.close()  # The role runs in processes of its own.
    chance = random.Random(3)
    for batch in range(6):
        made.send(*((f"e{batch}-{i}", chance.randrange(5 * DAY)) for i in range(EVENTS // 6)))
    yield made
    made.close()
    opensearch_node.clear()


def child(room: Room, crash_at: str = "") -> bool:
    """Whether it was killed at that point; otherwise it has to end well."""
    environment = {**os.environ, "OPENTRAIL_CRASH_AT": crash_at, "PYTHONPATH": str(ROOT)}
    code = subprocess.run(
        [sys.executable, "-m", "tests.aggregator.opensearch.crash_child", str(room.home.path),
         room.sections.opensearch.url, str(room.now), str(RETENTION)],
        cwd=ROOT, env=environment, check=False, timeout=120,
    ).returncode  # fmt: skip
    assert code in (0, -signal.SIGKILL)
    return code != 0


def is_whole(room: Room) -> None:
    """Every event of a held day is there once; the others are counted; nothing is left over."""
    found = room.found()
    figures = room.figures()
    assert len(set(found)) == len(found) == figures.indexed
    assert room.balance() == (EVENTS, EVENTS)
    assert figures.earlier == figures.missing == figures.held == 0
    held = {f"e{batch}-{i}" for (batch, i), age in ages().items() if is_held(room, age)}
    assert set(found) == held
    assert 0 < len(held) < EVENTS, "the test is vacuous: nothing expired or nothing stayed"


def ages() -> dict[tuple[int, int], int]:
    chance = random.Random(3)
    return {(batch, i): chance.randrange(5 * DAY) for batch in range(6) for i in range(EVENTS // 6)}


def is_held(room: Room, age: int) -> bool:
    """Two days later, of the three days before then."""
    first = (room.now + 2 * DAY - RETENTION * DAY) // DAY * DAY
    return room.now - age >= first


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_point_changes_nothing_in_the_end(room: Room, point: str) -> None:
    assert child(room, point), f"{point} was not passed"
    assert not child(room)
    is_whole(room)


def test_a_row_of_crashes_changes_nothing_in_the_end(room: Room) -> None:
    deaths = sum(child(room, f"{POINTS[turn % 4]}:{1 + turn % 2}") for turn in range(4))
    assert deaths >= 2
    assert not child(room)
    is_whole(room)
