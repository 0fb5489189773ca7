"""A cursor is where its reader left it, for this log and no other."""

from pathlib import Path

import pytest

from opentrail.errors import DamagedError
from opentrail_aggregator.wal.cursors import Cursors
from tests.fakes.disk import SimulatedDisk

PLACE = Path("/place/log/cursors")


def test_position_and_state_come_back() -> None:
    disk = SimulatedDisk()
    assert Cursors(PLACE, "log-a", disk).read("index") == (0, {})
    Cursors(PLACE, "log-a", disk).commit("index", 12, {"day": "2026-01-01"})
    assert Cursors(PLACE, "log-a", disk).read("index") == (12, {"day": "2026-01-01"})
    assert Cursors(PLACE, "log-a", disk).names() == ["index"]


def test_a_cursor_of_another_log_means_nothing_here() -> None:
    disk = SimulatedDisk()
    Cursors(PLACE, "log-a", disk).commit("index", 12)
    assert Cursors(PLACE, "log-b", disk).read("index") == (0, {})


def test_damaged_copies_are_told_and_not_taken_for_the_beginning() -> None:
    disk = SimulatedDisk()
    Cursors(PLACE, "log-a", disk).commit("index", 12)
    disk.replace(PLACE / "index", bytes(8192))
    with pytest.raises(DamagedError, match="both copies"):
        Cursors(PLACE, "log-a", disk).read("index")
