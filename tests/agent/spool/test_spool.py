"""What the spool does about damage, missing files, a lost standing and a second owner."""

import random
from pathlib import Path

import pytest

from opentrail.batch import batch_refused
from opentrail.errors import NewerFormatError
from opentrail_agent.spool.aside import Aside
from opentrail_agent.spool.outgoing import Outgoing, read_outgoing
from opentrail_agent.spool.room import Room
from opentrail_agent.spool.spool import Sealed, Spool
from opentrail_agent.spool.standing import Standing, decode_standing
from tests.fakes.clock import FakeClock
from tests.fakes.disk import SimulatedDisk

DIRECTORY = Path("/spool")
SEGMENTS = DIRECTORY / "segments"
EPOCH = b"e" * 16


def spool(disk: SimulatedDisk, segment_bytes: int = 1 << 20, epoch: bytes = EPOCH) -> Spool:
    return Spool(
        DIRECTORY, FakeClock(), disk, segment_bytes=segment_bytes, make_epoch=lambda: epoch
    )


def fill(subject: Spool, count: int, size: int = 100) -> None:
    for number in range(count):
        subject.append([Sealed(f"batch {number}".encode().ljust(size, b"."), 1, 0)])


def unsent(subject: Spool) -> list[Outgoing]:
    standing = subject.standing
    return read_outgoing(
        subject.reader(), Aside(subject.directory, subject._files), standing,
        standing.acknowledged_through, subject.durable, 1 << 30,
    )  # fmt: skip


def segments(disk: SimulatedDisk) -> list[Path]:
    return [SEGMENTS / name for name in disk.list(SEGMENTS) if name.endswith(".seg")]


def test_numbers_begin_with_one_and_have_no_gap() -> None:
    subject = spool(SimulatedDisk())
    fill(subject, 5)
    assert [each.sequence for each in unsent(subject)] == [1, 2, 3, 4, 5]


def test_the_epoch_is_kept_with_the_spool() -> None:
    disk = SimulatedDisk()
    spool(disk).close()
    disk.power_cut(random.Random(1))
    assert spool(disk, epoch=b"x" * 16).standing.epoch == EPOCH


def test_a_new_epoch_numbers_the_same_bytes_from_one() -> None:
    disk = SimulatedDisk()
    subject = spool(disk)
    fill(subject, 5)
    subject.acknowledge(2)
    before = [each.payload for each in unsent(subject)]
    subject.begin_epoch(after=subject.standing.acknowledged)
    assert [each.sequence for each in unsent(subject)] == [1, 2, 3]
    assert [each.payload for each in unsent(subject)] == before


def test_an_epoch_behind_lost_batches_begins_behind_them() -> None:
    subject = spool(SimulatedDisk())
    fill(subject, 5)
    subject.begin_epoch(after=2, lost=40)
    assert [each.sequence for each in unsent(subject)] == [41, 42, 43]


@pytest.mark.parametrize("bit", range(8))
def test_a_damaged_batch_keeps_its_number_and_says_what_happened(bit: int) -> None:
    disk = SimulatedDisk()
    subject = spool(disk)
    fill(subject, 5, size=300)
    before = unsent(subject)
    data = disk.read(segments(disk)[0], 0, 1 << 20)
    disk.flip(segments(disk)[0], data.index(b"batch 2") + 50, bit)
    found = unsent(subject)
    assert [each.sequence for each in found] == [1, 2, 3, 4, 5]
    assert [each.payload for n, each in enumerate(found) if n != 2] == [
        each.payload for n, each in enumerate(before) if n != 2
    ]
    [item] = batch_refused(found[2].payload)
    assert item.reason == "spool_damage"
    assert str(segments(disk)[0]) in item.detail
    assert found[2].damage


def test_a_replacement_sent_again_is_the_same_bytes() -> None:
    disk = SimulatedDisk()
    subject = spool(disk)
    fill(subject, 3, size=300)
    disk.flip(segments(disk)[0], disk.read(segments(disk)[0], 0, 1 << 20).index(b"batch 1"), 0)
    first = unsent(subject)[1]
    subject.close()
    again = unsent(spool(disk))[1]
    assert (first.damage != "", first.digest) == (True, again.digest)


def test_a_segment_file_that_is_gone_leaves_no_gap_in_the_numbers() -> None:
    disk = SimulatedDisk()
    subject = spool(disk, segment_bytes=1000)
    fill(subject, 30)
    subject.close()
    disk.unlink(segments(disk)[1])
    found = unsent(spool(disk, segment_bytes=1000))
    assert [each.sequence for each in found] == list(range(1, 31))
    assert any(each.damage for each in found)


def test_the_oldest_segment_gone_before_it_was_sent_is_told_number_by_number() -> None:
    disk = SimulatedDisk()
    subject = spool(disk, segment_bytes=1000)
    fill(subject, 30)
    subject.close()
    disk.unlink(segments(disk)[0])
    found = unsent(spool(disk, segment_bytes=1000))
    assert [each.sequence for each in found] == list(range(1, 31))
    assert found[0].damage


def test_all_segments_gone_never_gives_an_acknowledged_number_to_a_new_batch() -> None:
    disk = SimulatedDisk()
    subject = spool(disk)
    fill(subject, 9)
    subject.acknowledge(7)
    subject.close()
    for path in segments(disk):
        disk.unlink(path)
    subject = spool(disk)
    fill(subject, 1)
    assert [each.sequence for each in unsent(subject)] == [8]


def test_a_tail_cut_below_what_was_acknowledged_is_skipped_and_told() -> None:
    disk = SimulatedDisk()
    subject = spool(disk)
    fill(subject, 9)
    subject.acknowledge(7)
    subject.close()
    path = segments(disk)[0]
    file = disk.open_append(path)
    file.truncate(disk.size(path) - 5 * 160)
    file.datasync()
    subject = spool(disk)
    assert any("segment file is missing" in note for note in subject.notes)
    fill(subject, 1)
    assert [each.sequence for each in unsent(subject)] == [8]


@pytest.mark.parametrize("loss", ["removed", "zeroed", "both slots flipped"])
def test_a_lost_standing_sends_everything_again_under_a_new_epoch(loss: str) -> None:
    disk = SimulatedDisk()
    subject = spool(disk)
    fill(subject, 5)
    subject.acknowledge(2)
    subject.acknowledge(3)
    subject.close()
    path = DIRECTORY / "standing"
    if loss == "removed":
        disk.unlink(path)
    elif loss == "zeroed":
        disk.overwrite(path, 0, bytes(disk.size(path)))
    else:
        for slot in (0, 4096):
            disk.flip(path, slot + 20, 3)
    subject = spool(disk, epoch=b"n" * 16)
    assert subject.standing.epoch == b"n" * 16
    # What was acknowledged and is still on disk goes again; the aggregator knows the events.
    assert [each.sequence for each in unsent(subject)] == [1, 2, 3, 4, 5]
    assert loss == "removed" or any("damaged" in note for note in subject.notes)


def test_a_standing_of_a_later_version_is_refused_and_left_alone() -> None:
    disk = SimulatedDisk()
    spool(disk).close()
    path = DIRECTORY / "standing"
    from opentrail.segment.cursor import CursorFile

    cursor = CursorFile(path, disk)
    cursor.write(b'{"format": 2}')
    content = disk.read(path, 0, 1 << 20)
    with pytest.raises(NewerFormatError, match="later version"):
        spool(disk)
    assert disk.read(path, 0, 1 << 20) == content


def test_after_a_failed_sync_nothing_of_it_is_believed() -> None:
    disk = SimulatedDisk()
    subject = spool(disk)
    fill(subject, 2)
    disk.fail_sync = OSError(5, "input/output error")
    with pytest.raises(OSError, match="input/output"):
        subject.append([Sealed(b"never durable", 1, 0)])
    subject.reopen()
    assert (subject.durable, subject.next_position) == (2, 3)
    assert b"never durable" not in disk.read(segments(disk)[0], 0, 1 << 20)


def test_standing_is_the_same_after_being_written() -> None:
    standing = Standing(EPOCH, base=-3, acknowledged=9, log_id="log", epochs=4)
    assert decode_standing(standing.encode()) == standing
    assert (standing.acknowledged_through, standing.position(12)) == (12, 9)


@pytest.mark.parametrize(
    ("held", "more", "free", "refused"),
    [(80, 20, 1000, ""), (80, 21, 1000, "max_bytes"), (0, 10, 110, ""), (0, 11, 110, "reserve")],
)
def test_room_ends_exactly_at_its_limits(held: int, more: int, free: int, refused: str) -> None:
    refusal = Room(100, 100, lambda: free).refusal(held, more)
    assert (refused in refusal) if refused else refusal == ""
