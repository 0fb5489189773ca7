"""Batches are refused before the disk is full; decisions still get in then."""

from opentrail.limits import MIB
from opentrail.settings import Bytes
from opentrail_aggregator.wal.room import Room, Space, refusal
from opentrail_aggregator.wal.settings import DiskSettings, LogSettings
from tests.fakes.clock import FakeClock

LOG = LogSettings(max_bytes=Bytes(100 * MIB), control_reserve=Bytes(10 * MIB))
DISK = DiskSettings(reserve=Bytes(50 * MIB))
ROOMY = 1000 * MIB


def test_a_batch_is_refused_at_the_limit_and_a_decision_behind_it_is_not() -> None:
    full = Space(100 * MIB, ROOMY)
    assert "log.max_bytes" in refusal(LOG, DISK, full, 1, is_control=False)
    assert refusal(LOG, DISK, full, 1, is_control=True) == ""
    assert refusal(LOG, DISK, Space(110 * MIB, ROOMY), 1, is_control=True)


def test_the_reserve_of_the_disk_is_left_alone() -> None:
    low = Space(0, 50 * MIB)
    assert "disk.reserve" in refusal(LOG, DISK, low, 1, is_control=False)
    assert refusal(LOG, DISK, low, 1, is_control=True) == ""
    assert refusal(LOG, DISK, Space(0, 25 * MIB), 1, is_control=True)


def test_the_disk_is_looked_at_now_and_then_and_counted_between() -> None:
    clock = FakeClock()
    looks: list[int] = []

    def free() -> int:
        looks.append(1)
        return 60 * MIB

    room = Room(LOG, DISK, clock, lambda: 0, free)
    assert room.refusal(9 * MIB) == ""
    assert room.refusal(9 * MIB), "the ten above the reserve are nearly used up"
    clock.advance(1)
    assert room.refusal(9 * MIB) == "", "looked again: somebody made space"
    assert len(looks) == 2
