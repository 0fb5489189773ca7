"""Killed at any named point, any number of times, the index ends up with the same content."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.aggregator.index.harness import DAY, Room

ROOT = Path(__file__).resolve().parents[3]
POINTS = [
    "index.records.synced", "index.day.committed", "index.before.state", "index.state.written",
    "index.day.dropped",
]  # fmt: skip
RETENTION = 3


def filled(path: Path) -> Room:
    room = Room(path, days=RETENTION)
    chance = random.Random(3)
    for batch in range(6):
        events = [(f"e{batch}-{i}", chance.randrange(5 * DAY)) for i in range(60)]
        room.send(*events)
    return room


def child(room: Room, crash_at: str = "") -> int:
    environment = {**os.environ, "OPENTRAIL_CRASH_AT": crash_at, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "tests.aggregator.index.crash_child", str(room.home.path),
         str(room.now), str(RETENTION)],
        cwd=ROOT, env=environment, check=False, timeout=120,
    ).returncode  # fmt: skip


def content(room: Room) -> tuple[list[str], int, int]:
    found = room.figures(is_thorough=True)
    assert found.unreadable == 0
    assert found.indexed + found.expired == found.kept_total == 360
    return room.found(), found.indexed, found.expired


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], int, int]:
    room = filled(tmp_path_factory.mktemp("undisturbed"))
    assert child(room) == 0
    whole = content(room)
    assert 0 < whole[1] < 360, "the test is vacuous: nothing expired or nothing stayed"
    return whole


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_point_changes_nothing_in_the_end(
    tmp_path: Path, undisturbed: tuple[list[str], int, int], point: str, passes: int
) -> None:
    room = filled(tmp_path)
    died = child(room, f"{point}:{passes}") == -signal.SIGKILL
    assert died or passes > 1
    assert child(room) == 0
    assert content(room) == undisturbed


@pytest.mark.slow
def test_a_row_of_crashes_changes_nothing_in_the_end(
    tmp_path: Path, undisturbed: tuple[list[str], int, int]
) -> None:
    room = filled(tmp_path)
    deaths = sum(
        child(room, f"{POINTS[turn % 4]}:{1 + turn % 3}") == -signal.SIGKILL for turn in range(8)
    )
    assert deaths >= 4
    assert child(room) == 0
    assert content(room) == undisturbed
