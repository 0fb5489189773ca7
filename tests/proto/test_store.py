"""A store gives back what was synced, whatever happened to it since."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.errors import NewerFormatError
from opentrail.files import DISK
from opentrail.segment.frame import Damage, Frame, Kind
from opentrail.segment.reader import SegmentReader
from opentrail.segment.store import SegmentStore, segment_name
from tests.fakes.disk import PowerCut, SimulatedDisk

PLACE = Path("/store")


def fill(store: SegmentStore, count: int, size: int = 50) -> None:
    for _ in range(count):
        number = store.next_position
        store.append(Kind.BATCH, number.to_bytes(8, "big") * size, now_ns=number, events=2)
    store.sync()


def frames(reader: SegmentReader, through: int, after: int = 0) -> list[int]:
    return [e.position for e in reader.read(after, through, 1 << 30) if isinstance(e, Frame)]


def damages(reader: SegmentReader, through: int, after: int = 0) -> list[tuple[int, int]]:
    found = reader.read(after, through, 1 << 30)
    return [(e.first, e.last) for e in found if isinstance(e, Damage)]


def test_frames_are_read_in_order_across_segments(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 30)
    reader = SegmentReader(tmp_path)
    assert len(DISK.list(tmp_path)) > 3
    assert frames(reader, 30) == list(range(1, 31))
    assert frames(reader, 20, after=10) == list(range(11, 21))
    assert [frames(SegmentReader(tmp_path), p, p - 1) for p in range(1, 31)] == [
        [p] for p in range(1, 31)
    ]


def test_a_reader_never_sees_beyond_what_it_is_told_is_durable(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 5)
    reader = SegmentReader(tmp_path)
    assert frames(reader, 3) == [1, 2, 3]
    assert reader.read(3, 3) == []
    assert frames(reader, 5, after=3) == [4, 5]
    fill(store, 4)
    assert frames(reader, 9, after=5) == [6, 7, 8, 9]


def test_a_reader_told_of_more_than_is_there_waits(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path)
    fill(store, 2)
    reader = SegmentReader(tmp_path)
    assert frames(reader, 2) == [1, 2]
    assert reader.read(2, 2) == []


def test_small_reads_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=5000)
    fill(store, 40)
    reader = SegmentReader(tmp_path)
    seen: list[int] = []
    while step := reader.read(seen[-1] if seen else 0, 40, 1):
        seen += [entry.position for entry in step if isinstance(entry, Frame)]
    assert seen == list(range(1, 41))


def test_totals_survive_reopening_and_dropping(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 30)
    assert store.drop_before(20) > 0
    first = store.first_position
    assert 1 < first <= 20
    store.close()
    again = SegmentStore.open(tmp_path, segment_bytes=2000)
    assert (again.appended_events, again.next_position) == (60, 31)
    assert again.store_id == store.store_id
    reader = SegmentReader(tmp_path)
    assert damages(reader, 30) == [(1, first - 1)]
    assert frames(reader, 30) == list(range(first, 31))


def test_the_segment_being_written_is_never_dropped(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=100_000)
    fill(store, 3)
    assert store.drop_before(1_000) == 0
    store.rotate(0)
    assert store.drop_before(1_000) == 1
    assert store.first_position == 4


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_torn_tail_is_cut_and_writing_goes_on(tmp_path: Path, cut: int) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=100_000)
    fill(store, 5)
    store.close()
    path = tmp_path / segment_name(1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = SegmentStore.open(tmp_path, segment_bytes=100_000)
    assert again.next_position == 5
    assert again.findings.torn_bytes > 0
    fill(again, 2)
    assert frames(SegmentReader(tmp_path), 6) == [1, 2, 3, 4, 5, 6]


def test_damage_to_what_had_been_synced_is_stepped_over_and_told(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=100_000)
    for _ in range(6):
        fill(store, 1)
    store.close()
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    again = SegmentStore.open(tmp_path, segment_bytes=100_000)
    assert (again.next_position, again.findings.holes, again.findings.torn_bytes) == (7, 1, 0)
    reader = SegmentReader(tmp_path)
    assert len(damages(reader, 6)) == 1
    assert len(frames(reader, 6)) == 5


def test_a_group_that_was_never_synced_is_cut_as_a_whole(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=100_000)
    fill(store, 2)
    fill(store, 3)  # One group: the disk may have kept its last frame and lost its first.
    store.close()
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    third = data.index((3).to_bytes(8, "big") * 50)
    data[third] ^= 1
    path.write_bytes(bytes(data))
    again = SegmentStore.open(tmp_path, segment_bytes=100_000)
    assert (again.next_position, again.findings.holes) == (3, 0)
    assert again.findings.set_aside, "whole frames behind the cut are kept aside"


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("where", [0.1, 0.35, 0.6, 0.9])
def test_one_flipped_bit_in_a_sealed_segment_costs_one_frame(
    tmp_path: Path, where: float, bit: int
) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=3000)
    fill(store, 20)
    store.close()
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1 << bit
    path.write_bytes(bytes(data))
    again = SegmentStore.open(tmp_path, segment_bytes=3000)
    assert again.next_position == 21
    reader = SegmentReader(tmp_path)
    assert len(frames(reader, 20)) >= 19
    assert sum(last - first + 1 for first, last in damages(reader, 20)) == 20 - len(
        frames(SegmentReader(tmp_path), 20)
    )


def test_a_segment_that_is_gone_is_told_as_missing(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 30)
    names = DISK.list(tmp_path)
    (tmp_path / names[1]).unlink()
    reader = SegmentReader(tmp_path)
    lost = damages(reader, 30)
    assert lost == [(int(names[1][:-4]), int(names[2][:-4]) - 1)]
    assert len(frames(reader, 30)) + lost[0][1] - lost[0][0] + 1 == 30


def test_a_zeroed_segment_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 30)
    store.close()
    victim = tmp_path / DISK.list(tmp_path)[1]
    victim.write_bytes(bytes(victim.stat().st_size))
    again = SegmentStore.open(tmp_path, segment_bytes=2000)
    assert (again.next_position, again.appended_events) == (31, 60)
    reader = SegmentReader(tmp_path)
    [(first, last)] = damages(reader, 30)
    assert frames(reader, 30) == [p for p in range(1, 31) if not first <= p <= last]


def test_a_copy_of_a_segment_under_another_name_is_set_aside(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 30)
    store.close()
    names = DISK.list(tmp_path)
    (tmp_path / segment_name(99)).write_bytes((tmp_path / names[0]).read_bytes())
    again = SegmentStore.open(tmp_path, segment_bytes=2000)
    assert again.next_position == 31
    assert len(again.findings.set_aside) == 1


def test_what_was_set_aside_is_never_overwritten(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 30)
    store.close()
    misplaced = [(tmp_path / name).read_bytes() for name in DISK.list(tmp_path)[:3]]
    for number, content in enumerate(misplaced, 1):
        (tmp_path / segment_name(99)).write_bytes(content)
        again = SegmentStore.open(tmp_path, segment_bytes=2000)
        assert again.next_position == 31
        again.close()
        assert len(list(tmp_path.glob("*.broken"))) == number
    names = [f"{segment_name(99)}{ending}" for ending in (".broken", "-2.broken", "-3.broken")]
    assert [(tmp_path / name).read_bytes() for name in names] == misplaced


def test_each_torn_tail_at_one_place_is_kept_and_the_same_one_once(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=100_000)
    fill(store, 2)
    store.close()
    path = tmp_path / segment_name(1)
    whole = path.read_bytes()
    for tail in (b"x" * 100, b"y" * 100, b"y" * 100):
        path.write_bytes(whole + tail)
        SegmentStore.open(tmp_path, segment_bytes=100_000).close()
    kept = sorted(tmp_path.glob("*.broken"))
    assert sorted(each.read_bytes() for each in kept) == [b"x" * 100, b"y" * 100]


def test_an_empty_tail_is_begun_anew(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    fill(store, 3)
    store.rotate(0)
    store.close()
    (tmp_path / segment_name(4)).write_bytes(b"")
    again = SegmentStore.open(tmp_path, segment_bytes=2000)
    assert (again.next_position, again.appended_events) == (4, 6)
    fill(again, 1)
    assert frames(SegmentReader(tmp_path), 4) == [1, 2, 3, 4]


def test_a_store_of_a_later_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    from opentrail.segment.frame import encode_frame

    path = tmp_path / segment_name(1)
    head = b'{"format": 2, "store": "x", "first": 1, "events": 0, "refused": 0}'
    content = b"".join(encode_frame(Kind.HEAD, 1, head))
    path.write_bytes(content)
    with pytest.raises(NewerFormatError, match="seg: format 2"):
        SegmentStore.open(tmp_path)
    assert path.read_bytes() == content


def test_positions_that_were_used_are_left_out(tmp_path: Path) -> None:
    store = SegmentStore.open(tmp_path)
    fill(store, 3)
    store.skip_to(10, 0)
    fill(store, 1)
    reader = SegmentReader(tmp_path)
    assert frames(reader, 10) == [1, 2, 3, 10]
    assert damages(reader, 10) == [(4, 9)]
    store.close()
    assert SegmentStore.open(tmp_path).next_position == 11


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    groups=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    cut_after=st.integers(0, 120),
)
def test_after_a_power_cut_all_that_was_synced_is_there_and_nothing_else_counts(
    seed: int, groups: list[int], cut_after: int
) -> None:
    disk = SimulatedDisk()
    generator = random.Random(seed)
    store = SegmentStore.open(PLACE, disk, segment_bytes=1500)
    disk.operations_until_cut = cut_after
    synced = 0
    try:
        for group in groups:
            for _ in range(group):
                store.append(Kind.BATCH, b"%d" % store.next_position * 60, now_ns=0, events=1)
            store.sync()
            synced = store.synced_position
    except PowerCut:
        synced = max(synced, store.synced_position)
    disk.power_cut(generator)
    again = SegmentStore.open(PLACE, disk, segment_bytes=1500)
    assert again.next_position > synced
    reader = SegmentReader(PLACE, disk)
    entries = reader.read(0, again.next_position - 1, 1 << 30)
    assert [e.position for e in entries if isinstance(e, Frame)] == list(
        range(1, again.next_position)
    )
    for entry in entries:
        assert isinstance(entry, Frame)
        assert entry.payload == b"%d" % entry.position * 60
    assert again.appended_events == again.next_position - 1
    again.append(Kind.BATCH, b"on", now_ns=0)
    again.sync()
    last = again.next_position - 1
    assert frames(SegmentReader(PLACE, disk), last) == list(range(1, last + 1))


def test_after_a_failed_sync_nothing_is_believed_until_reopened() -> None:
    disk = SimulatedDisk()
    store = SegmentStore.open(PLACE, disk)
    fill(store, 2)
    store.append(Kind.BATCH, b"x", now_ns=0)
    disk.fail_sync = OSError(5, "input/output error")
    with pytest.raises(OSError, match="input/output"):
        store.sync()
    with pytest.raises(OSError, match="earlier write or sync failed"):
        store.sync()
    store.abandon()
    assert SegmentStore.open(PLACE, disk).next_position == 3


def test_a_full_disk_refuses_and_the_frames_before_it_stay() -> None:
    disk = SimulatedDisk()
    store = SegmentStore.open(PLACE, disk)
    fill(store, 2)
    disk.free_bytes = 100
    store.append(Kind.BATCH, bytes(500), now_ns=0)
    with pytest.raises(OSError, match="no space"):
        store.sync()
    store.abandon()
    disk.free_bytes = None
    again = SegmentStore.open(PLACE, disk)
    fill(again, 1)
    assert frames(SegmentReader(PLACE, disk), 3) == [1, 2, 3]
