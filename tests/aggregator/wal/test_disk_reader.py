"""Readers see what is durable and nothing else; the counts of what was received outlive it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opentrail.errors import DamagedError
from opentrail.segment.frame import RELEASED, Damage
from opentrail.segment.store import segment_name, segment_positions
from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import LogEntry
from opentrail_aggregator.wal.published import UnsharedPosition
from tests.fakes.disk import SimulatedDisk

from .logs import DIRECTORY, frame, open_log, read_all


def filled(disk: SimulatedDisk, count: int = 60) -> DiskLog:
    log = open_log(disk)
    for number in range(1, count + 1):
        log.commit([frame(number, 60, events=number, refused=1)])
    return log


def reader_of(log: DiskLog, disk: SimulatedDisk) -> DiskLogReader:
    return DiskLogReader(DIRECTORY, disk, UnsharedPosition(log.durable_position))


def test_nothing_behind_the_published_position_is_read() -> None:
    disk = SimulatedDisk()
    log = filled(disk)
    reader = DiskLogReader(DIRECTORY, disk, UnsharedPosition(7))
    assert [e.position for e in reader.read(0) if isinstance(e, LogEntry)] == [1, 2, 3, 4, 5, 6, 7]
    assert reader.read(7) == []
    assert log.durable_position > 7


def test_an_entry_says_who_sent_it_and_under_which_number() -> None:
    disk = SimulatedDisk()
    log = filled(disk, 1)
    (entry,) = reader_of(log, disk).read(0)
    assert isinstance(entry, LogEntry)
    assert (entry.agent, entry.epoch, entry.sequence, entry.digest, entry.grant) == (
        "web-1", "ab" * 16, 1, "cd" * 16, "*",
    )  # fmt: skip
    assert (entry.events, entry.refused, entry.is_batch) == (1, 1, True)


def test_received_through_is_right_at_every_position_and_outlives_released_segments() -> None:
    disk = SimulatedDisk()
    log = filled(disk)
    truth: dict[int, tuple[int, int]] = {0: (0, 0)}
    events = refused = 0
    for entry in read_all(log, disk):
        assert isinstance(entry, LogEntry)
        events, refused = events + entry.events, refused + entry.refused
        truth[entry.position] = (events, refused)
    reader = reader_of(log, disk)
    assert {position: reader.received_through(position) for position in truth} == truth
    log.drop_before(40)
    fresh = reader_of(log, disk)
    first = fresh.first_position()
    assert first > 20
    for position in range(first - 1, log.durable_position + 1):
        assert fresh.received_through(position) == truth[position]
    with pytest.raises(DamagedError, match="was released"):
        fresh.received_through(first - 2)


def test_what_damage_cost_is_counted_so_that_sums_still_close() -> None:
    disk = SimulatedDisk()
    log = filled(disk)
    total = reader_of(log, disk).received_through(log.durable_position)
    second = segment_positions(disk.list(DIRECTORY))[1]
    disk.flip(DIRECTORY / segment_name(second), 500, 1)
    reader = reader_of(log, disk)
    damages = [entry for entry in read_all(log, disk) if isinstance(entry, Damage)]
    readable = [entry for entry in read_all(log, disk) if isinstance(entry, LogEntry)]
    (damage,) = damages
    lost = reader.lost_in(damage)
    assert lost > (0, 0)
    assert reader.received_through(log.durable_position) == total
    assert sum(e.events for e in readable) + lost[0] == total[0]
    assert sum(e.refused for e in readable) + lost[1] == total[1]


def test_a_whole_segment_that_is_gone_is_damage_with_its_counts() -> None:
    disk = SimulatedDisk()
    log = filled(disk)
    total = reader_of(log, disk).received_through(log.durable_position)
    second = segment_positions(disk.list(DIRECTORY))[1]
    disk.unlink(DIRECTORY / segment_name(second))
    reader = reader_of(log, disk)
    (damage,) = [entry for entry in read_all(log, disk) if isinstance(entry, Damage)]
    kept = [entry for entry in read_all(log, disk) if isinstance(entry, LogEntry)]
    assert reader.received_through(log.durable_position) == total
    assert sum(e.events for e in kept) + reader.lost_in(damage)[0] == total[0]


def test_released_positions_come_as_damage_that_says_so() -> None:
    disk = SimulatedDisk()
    log = filled(disk)
    log.drop_before(30)
    first = reader_of(log, disk).first_position()
    entries = reader_of(log, disk).read(0)
    assert isinstance(entries[0], Damage)
    assert (entries[0].reason, entries[0].first, entries[0].last) == ("released", 1, first - 1)
    assert isinstance(entries[1], LogEntry)
    assert entries[1].position == first


def test_the_backlog_is_the_bytes_of_the_segments_still_to_be_read() -> None:
    disk = SimulatedDisk()
    log = filled(disk)
    reader = reader_of(log, disk)
    firsts = segment_positions(disk.list(DIRECTORY))
    assert reader.backlog_bytes(0) == log.size_bytes
    last = disk.size(DIRECTORY / segment_name(firsts[-1]))
    assert reader.backlog_bytes(firsts[-1]) == last


class BusyDisk(SimulatedDisk):
    """Something happens right after the next time that a file's end is read."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], object] | None = None

    def read(self, path: Path, offset: int, length: int) -> bytes:
        data = super().read(path, offset, length)
        if not data and self.then is not None:
            then, self.then = self.then, None
            then()
        return data


def test_what_is_released_under_a_reader_on_its_way_is_no_damage() -> None:
    disk = BusyDisk()
    log = filled(disk)
    second, third = segment_positions(disk.list(DIRECTORY))[1:3]
    reader = reader_of(log, disk)
    at = 0
    while at < second - 1:
        (entry,) = reader.read(at, 1)
        assert isinstance(entry, LogEntry)
        at = entry.position
    # It looks for more in the first file, which goes, with the second, before it looks further.
    disk.then = lambda: log.drop_before(third)
    found = reader.read(at, 1)[0]
    assert isinstance(found, Damage)
    assert (found.reason, found.first, found.last) == (RELEASED, second, third - 1)
