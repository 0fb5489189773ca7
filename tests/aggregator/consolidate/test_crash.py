"""Killed at any step, and again while recovering, the room comes to the same verdicts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from opentrail.batch import refused_item
from opentrail_aggregator.consolidate.verdict import Verdict
from tests.aggregator.consolidate.world import World, line

ROOT = Path(__file__).resolve().parents[3]
SLOW = [
    "consolidate.judged",
    "consolidate.quarantine_synced",
    "consolidate.verdict_synced",
    "consolidate.spilled",
    "ids.merge_named",
]
LONG = [
    "consolidate.decoded",
    "consolidate.quarantined",
    "consolidate.verdict_written",
    "consolidate.state_saved",
    "consolidate.cursor",
    "ids.spilled",
    "ids.checkpointed",
    "ids.merged",
]
POINTS = [
    *[pytest.param(point, marks=pytest.mark.slow) for point in SLOW],
    *[pytest.param(point, marks=pytest.mark.long) for point in LONG],
]

_RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from opentrail_aggregator.consolidate.ids import idsets
from opentrail_aggregator.consolidate import consolidator
idsets.IdSets.__init__.__kwdefaults__["spill_ids"] = 20
consolidator.FRAMES_MAX = 3
consolidator.CHECKPOINT_SECONDS = -1.0
from tests.aggregator.consolidate.world import Sections
from opentrail.clock import SystemClock
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
clock = SystemClock()
role = consolidator.Consolidator(Home(Path(sys.argv[2])), Sections(), clock, Metrics("c", clock))
while role.step():
    pass
role.close()
"""


def fill(world: World) -> int:
    """Kept events, copies, conflicts and refusals, over many frames; the last position."""
    last = 0
    for batch in range(30):
        lines = [line(f"{batch}-{n}") for n in range(8)]
        lines.append(line(f"{max(batch - 1, 0)}-1"))
        lines.append(line(f"{max(batch - 3, 0)}-2", eventName="Forged"))
        lines.append(b"[]")
        # Each comes twice: the second is a copy, whatever dies between.
        item = refused_item(b"junk", source="s", offset=batch // 2, reason="not_json")
        refused = [item] if batch % 6 < 2 else []
        last = world.send(lines, refused=refused, generation="ab" * 16)
    world.log.close()
    return last


def consolidate(home: Path, crash_at: str = "") -> int:
    environment = {**os.environ, "OPENTRAIL_CRASH_AT": crash_at}
    command = [sys.executable, "-c", _RUN, str(ROOT), str(home)]
    return subprocess.run(command, env=environment, check=False).returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Verdict], list[str]]:
    world = World(tmp_path_factory.mktemp("undisturbed"))
    fill(world)
    assert consolidate(world.home.path) == 0
    verdicts = world.verdicts()
    assert verdicts[-1].kept_total == 240
    assert verdicts[-1].copies_total == 30 + 5
    assert sum(item.ordinal == -1 for item in world.items()) == 5
    return verdicts, [item.id for item in world.items()]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_changes_nothing(
    tmp_path: Path, point: str, undisturbed: tuple[list[Verdict], list[str]]
) -> None:
    world = World(tmp_path)
    last = fill(world)
    passes = 2 if point in ("ids.merged", "ids.merge_named") else 3
    assert consolidate(tmp_path, f"{point}:{passes}") == -signal.SIGKILL, "the point is not passed"
    consolidate(tmp_path, f"{point}:1")
    assert consolidate(tmp_path) == 0
    verdicts, items = undisturbed
    assert world.verdicts() == verdicts
    assert [item.id for item in world.items()] == items
    assert world.quarantine.count_through(last) == verdicts[-1].quarantined_total
