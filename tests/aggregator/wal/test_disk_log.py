"""Committed means durable, a failure acknowledges nothing, and no position is used twice."""

import errno
from pathlib import Path

import pytest

from opentrail.errors import DamagedError
from opentrail.segment.frame import Damage, Kind
from opentrail.segment.store import segment_name, segment_positions
from opentrail_aggregator.wal.log import LogEntry, LogFullError
from opentrail_aggregator.wal.published import PublishedPosition, UnsharedPosition
from tests.fakes.disk import SimulatedDisk

from .logs import DIRECTORY, batches_in, frame, open_log, read_all


def segments(disk: SimulatedDisk) -> list[Path]:
    return [DIRECTORY / segment_name(n) for n in segment_positions(disk.list(DIRECTORY))]


def test_a_log_has_an_id_of_its_own_that_lasts() -> None:
    disk = SimulatedDisk()
    first = open_log(disk)
    assert len(first.log_id) == 32
    assert open_log(disk).log_id == first.log_id
    assert open_log(SimulatedDisk()).log_id != first.log_id


def test_a_failed_sync_acknowledges_nothing_and_leaves_nothing_behind() -> None:
    """The frames are in the file when the sync fails; later they must not be taken for durable."""
    disk = SimulatedDisk()
    log = open_log(disk)
    log.commit([frame(1)])
    disk.fail_sync = OSError(errno.EIO, "failed")
    outcome = log.commit([frame(2), frame(3)])
    assert outcome.positions == []
    assert outcome.error is not None
    assert log.commit([frame(4)]).positions == [], "closed until it was opened again"
    assert log.reopen()
    assert batches_in(log, disk) == {1: 1}
    assert log.commit([frame(5)]).positions == [2]


def test_a_full_disk_is_told_apart_from_a_broken_one() -> None:
    disk = SimulatedDisk()
    log = open_log(disk)
    disk.free_bytes = 10
    outcome = log.commit([frame(1)])
    assert isinstance(outcome.error, LogFullError)
    assert not log.reopen() or log.commit([frame(1)]).error, "still full"
    disk.free_bytes = None
    assert log.reopen()
    assert log.commit([frame(1)]).positions == [1]


def test_what_was_sealed_before_a_failure_is_acknowledged() -> None:
    """Rotating syncs; so a group can be durable in part, and exactly that part is told."""
    disk = SimulatedDisk()
    log = open_log(disk, segment_bytes=600)
    disk.free_bytes = 1200
    outcome = log.commit([frame(number, 150) for number in range(1, 9)])
    assert outcome.error is not None
    assert 0 < len(outcome.positions) < 8
    disk.free_bytes = None
    assert log.reopen()
    assert list(batches_in(log, disk)) == outcome.positions


def test_positions_that_readers_have_seen_are_never_given_to_other_frames() -> None:
    """The last frame is damaged after readers had it: the log goes on behind it."""
    disk = SimulatedDisk()
    published = UnsharedPosition()
    log = open_log(disk, published=published)
    log.commit([frame(1), frame(2), frame(3)])
    path = segments(disk)[-1]
    disk.flip(path, disk.size(path) - 3, 2)
    log = open_log(disk, published=published)
    assert [note for note in log.findings if "are gone" in note]
    assert log.commit([frame(9)]).positions == [4]
    kinds = {entry.position: entry.kind for entry in read_all(log, disk)
             if isinstance(entry, LogEntry)}  # fmt: skip
    assert kinds == {1: Kind.BATCH, 2: Kind.BATCH, 3: Kind.CONTROL, 4: Kind.BATCH}
    assert disk.exists(path.with_name(next(n for n in disk.list(DIRECTORY) if "broken" in n)))


def test_cursors_far_beyond_the_log_are_not_believed() -> None:
    with pytest.raises(DamagedError, match="put the missing segments back"):
        open_log(SimulatedDisk(), floor=3_000_000)


def test_each_segment_begins_with_the_settings_in_force() -> None:
    disk = SimulatedDisk()
    log = open_log(disk)
    for number in range(40):
        log.commit([frame(number, 60)])
    firsts = segment_positions(disk.list(DIRECTORY))
    assert len(firsts) > 3
    by_position = {e.position: e for e in read_all(log, disk) if isinstance(e, LogEntry)}
    assert {by_position[first].control()["type"] for first in firsts[1:]} == {"settings"}


@pytest.mark.parametrize("damage", ["flip", "zero", "cut", "empty"])
def test_damage_in_a_sealed_segment_costs_only_what_it_hit(damage: str) -> None:
    disk = SimulatedDisk()
    log = open_log(disk)
    for number in range(1, 60):
        log.commit([frame(number, 60)])
    before = batches_in(log, disk)
    path = segments(disk)[1]
    content = disk.read(path, 0, disk.size(path))
    spoilt = {
        "flip": content[:500] + bytes([content[500] ^ 4]) + content[501:],
        "zero": content[:300] + bytes(300) + content[600:],
        "cut": content[: len(content) // 2],
        "empty": b"",
    }[damage]
    disk.replace(path, spoilt)
    log = open_log(disk)
    log.commit([frame(60)])
    entries = read_all(log, disk)
    lost = {
        position
        for entry in entries
        if isinstance(entry, Damage)
        for position in range(entry.first, entry.last + 1)
    }
    kept = {entry.position for entry in entries if isinstance(entry, LogEntry)}
    assert lost
    assert not lost & kept
    firsts = segment_positions(disk.list(DIRECTORY))
    assert lost <= set(range(firsts[1], firsts[2])), "other segments are whole"
    assert set(before) <= lost | kept
    if damage == "flip":
        assert len(lost) == 1


def test_a_segment_duplicated_under_another_name_is_set_aside_and_kept() -> None:
    disk = SimulatedDisk()
    log = open_log(disk)
    for number in range(1, 30):
        log.commit([frame(number, 60)])
    before = batches_in(log, disk)
    copy = DIRECTORY / segment_name(log.durable_position + 50)
    disk.replace(copy, disk.read(segments(disk)[0], 0, 1 << 20))
    log = open_log(disk)
    assert disk.exists(copy.with_name(copy.name + ".broken"))
    assert batches_in(log, disk) == before
    # Another one under the same name: told too, and the first stays.
    other = disk.read(segments(disk)[1], 0, 1 << 20)
    disk.replace(copy, other)
    log = open_log(disk)
    second = copy.with_name(copy.name + "-2.broken")
    assert disk.read(second, 0, 1 << 20) == other
    assert any(second.name in each for each in log.damage)
    assert disk.read(copy.with_name(copy.name + ".broken"), 0, 1 << 20) != other
    assert batches_in(log, disk) == before


def test_the_published_position_is_what_another_process_reads(tmp_path: Path) -> None:
    writing, reading = PublishedPosition(tmp_path, writing=True), PublishedPosition(tmp_path)
    assert reading.read() == 0
    writing.publish(1 << 40)
    assert reading.read() == 1 << 40
    writing.close()
    reading.close()


def test_opening_reads_the_heads_and_the_last_segment_only() -> None:
    """So a start takes as long with 5 GB as with 50 MB."""

    class Counting(SimulatedDisk):
        bytes_read = 0

        def read(self, path: Path, offset: int, length: int) -> bytes:
            content = super().read(path, offset, length)
            self.bytes_read += len(content)
            return content

    disk = Counting()
    log = open_log(disk, segment_bytes=40_000)
    for number in range(200):
        log.commit([frame(number, 5_000)])
    disk.bytes_read = 0
    open_log(disk, segment_bytes=40_000)
    assert len(segments(disk)) > 20
    assert disk.bytes_read < len(segments(disk)) * 4_096 + 2 * 40_000
