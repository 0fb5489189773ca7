"""Damage, full disks and full quarantine: told, survived, and healed."""

import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from opentrail.files import AppendFile, DiskFiles
from opentrail.segment.frame import Damage
from opentrail.settings import Bytes
from opentrail_aggregator.consolidate.consolidator import Consolidator
from opentrail_aggregator.consolidate.joined import read_joined
from opentrail_aggregator.consolidate.verdict import COPY, KEPT, VerdictReader
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from tests.aggregator.consolidate.world import World, line


class FailingFiles(DiskFiles):
    """The real disk, until its writes fail in one folder."""

    def __init__(self) -> None:
        self.failing: Path | None = None

    def open_append(self, path: Path) -> AppendFile:
        return FailingFile(super().open_append(path), path, self)


class FailingFile:
    def __init__(self, file: AppendFile, path: Path, files: FailingFiles) -> None:
        self._file = file
        self._path = path
        self._files = files

    @property
    def size(self) -> int:
        return self._file.size

    @size.setter
    def size(self, value: int) -> None:
        self._file.size = value

    def write(self, buffers: Sequence[bytes]) -> None:
        self._file.write(buffers)

    def datasync(self) -> None:
        if self._files.failing == self._path.parent:
            raise OSError(errno.ENOSPC, "no space left on device", str(self._path))
        self._file.datasync()

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("folder", ["verdicts", "quarantine"])
def test_a_disk_that_fails_stops_judging_and_nothing_is_lost_or_doubled(
    world: World, folder: str
) -> None:
    files = FailingFiles()
    role = Consolidator(world.home, world.sections, world.clock, world.metrics, files=files)
    world.send([line("a"), b"[]"])
    while role.step():
        pass
    at = world.send([line("b"), line("a"), b"[]"])
    files.failing = world.home.path / folder
    assert role.step() is False
    assert "no space left" in world.problems()["consolidate.disk"]
    assert VerdictReader(world.home).consolidated_position() < at
    world.clock.advance(2)
    assert role.step() is False
    files.failing = None
    world.clock.advance(2)
    while role.step():
        pass
    assert "consolidate.disk" not in world.problems()
    verdict = world.verdict(at)
    assert list(verdict.outcomes[:2]) == [KEPT, COPY]
    assert (verdict.kept_total, verdict.copies_total, verdict.quarantined_total) == (2, 1, 2)
    assert world.quarantine.count_through(at) == 2


def test_a_full_quarantine_stops_judging_until_it_may_be_larger(world: World) -> None:
    world.sections = replace(
        world.sections, quarantine=replace(world.sections.quarantine, max_bytes=Bytes(3_000))
    )
    first = world.send([line("a")])
    flood = world.send([b"[]" for _ in range(20)])
    behind = world.send([line("b")])
    world.run()
    assert VerdictReader(world.home).consolidated_position() < flood
    assert "quarantine.max_bytes" in world.problems()["quarantine.full"]
    world.clock.advance(60)
    world.run()
    assert VerdictReader(world.home).consolidated_position() in (0, first)
    world.restart()
    world.sections = replace(
        world.sections, quarantine=replace(world.sections.quarantine, max_bytes=Bytes(1 << 20))
    )
    world.clock.advance(60)
    assert world.outcomes(behind) == [KEPT]
    assert "quarantine.full" not in world.problems()
    assert world.quarantine.count_through(behind) == 20
    assert len({item.id for item in world.items()}) == 20


def damage_frame(world: World, content: bytes) -> None:
    """Flip a byte inside the frame that holds `content` in the clear (its sources)."""
    for segment in world.home.log.glob("*.seg"):
        data = bytearray(segment.read_bytes())
        found = data.find(content)
        if found >= 0:
            data[found] ^= 0xFF
            segment.write_bytes(data)
            return
    raise AssertionError("nothing to damage")


def test_damage_in_the_log_is_counted_told_and_passed_by(world: World) -> None:
    before = world.send([line("a")])
    broken = world.send([line("b"), line("c")], account="123123123123")
    after = world.send([line("d")])
    damage_frame(world, b"123123123123")
    assert world.outcomes(after) == [KEPT]
    verdict = world.verdict(broken)
    assert verdict.events == 0
    assert verdict.damage
    assert str(broken) in world.problems()["consolidate.damaged"]
    assert world.metrics.value("opentrail_consolidate_damaged_total") == 1
    log, verdicts = DiskLogReader(world.home.log), VerdictReader(world.home)
    lost: list[Damage] = []
    pairs = read_joined(log, verdicts, 0, damaged=lost.append)
    assert [entry.position for entry, _ in pairs] == [1, before, after]
    assert [(each.first, each.last) for each in lost] == [(broken, broken)]


def test_events_lost_to_damage_are_counted_as_quarantined(world: World) -> None:
    world.send([line("a")])
    broken = world.send([line("b"), line("c")], account="123123123123")
    number = 0
    while len(list(world.home.log.glob("*.seg"))) < 2:
        number += 1
        world.send([line(f"f{number}", fill=bytes(range(97, 123)).decode() * 30_000)] * 4)
        if number % 50 == 0:
            world.log._rotate()
    last = world.log.durable_position
    damage_frame(world, b"123123123123")
    world.run()
    received = sum(DiskLogReader(world.home.log).received_through(last))
    verdict = VerdictReader(world.home).last()
    assert verdict is not None
    assert verdict.quarantined_total == 2
    assert verdict.kept_total + verdict.copies_total + verdict.quarantined_total == received
    assert world.quarantine.count_through(last) == 2
    (item,) = world.items()
    assert (item.reason, item.events, item.position) == ("damaged", 2, broken)


def test_joined_reads_only_what_has_a_verdict(world: World) -> None:
    first = world.send([line("a")])
    world.run()
    world.send([line("b")])
    log, verdicts = DiskLogReader(world.home.log), VerdictReader(world.home)
    assert [entry.position for entry, _ in read_joined(log, verdicts, 0)] == [1, first]
    assert read_joined(log, verdicts, first) == []


def test_joined_reads_on_in_pieces(world: World) -> None:
    for number in range(30):
        world.send([line(f"e{number}")])
    world.run()
    log, verdicts = DiskLogReader(world.home.log), VerdictReader(world.home)
    after, seen = 0, []
    while pairs := read_joined(log, verdicts, after, max_bytes=2_000):
        assert all(entry.position == verdict.position for entry, verdict in pairs)
        seen += [entry.position for entry, _ in pairs]
        after = seen[-1]
    assert seen == list(range(1, 32))


def test_joined_stops_before_what_the_log_let_go_for_a_reader_that_gets_it_elsewhere(
    world: World,
) -> None:
    gone = world.send([line("a")])
    world.run()
    world.release_through(gone)
    log, verdicts = DiskLogReader(world.home.log), VerdictReader(world.home)
    first = log.first_position()
    assert first > gone
    lost: list[Damage] = []
    assert read_joined(log, verdicts, 0, damaged=lost.append, stops_at_released=True) == []
    assert lost == []
    pairs = read_joined(log, verdicts, first - 1, damaged=lost.append, stops_at_released=True)
    assert pairs[0][0].position == first
    assert read_joined(log, verdicts, 0, damaged=lost.append)[0][0].position == first
    assert [(each.first, each.last) for each in lost] == [(1, first - 1)]


def test_a_damaged_verdict_stops_readers_and_says_where(world: World) -> None:
    for number in range(3):
        world.send([line(f"e{number}")])
    world.run()
    (segment,) = world.home.verdicts.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(world.verdict(3).keys)] ^= 1
    segment.write_bytes(data)
    reader = VerdictReader(world.home)
    assert [verdict.position for verdict in reader.read(0)] == [1, 2]
    assert "position 3" in reader.stopped_by
    log = DiskLogReader(world.home.log)
    assert [entry.position for entry, _ in read_joined(log, reader, 0)] == [1, 2]


def test_verdicts_moved_away_are_made_anew_the_same(world: World) -> None:
    for number in range(5):
        world.send([line(f"e{number}"), line("e0"), line("e1", eventName="Other"), b"[]"])
    world.run()
    world.release_through(3)
    world.send([line("e2"), line("e1", eventName="Other")])
    world.run()
    world.clock.advance(2)
    world.run()
    first = world.log.first_position
    before = [verdict for verdict in world.verdicts() if verdict.position >= first]
    items = [item.id for item in world.items()]
    world.restart()
    for path in world.home.verdicts.iterdir():
        path.unlink()
    world.run()
    assert world.verdicts() == before
    assert [item.id for item in world.items()] == items
    assert before[-1].copies_total == 11
    assert "consolidate.found" not in world.problems()


def test_a_new_log_under_old_verdicts_is_refused_by_name(world: World) -> None:
    world.send([line("a")])
    world.run()
    world.restart()
    for path in world.home.log.glob("*"):
        if path.is_file():
            path.unlink()
    other = World(world.home.path)
    with pytest.raises(Exception, match="belongs to log"):
        other.run()


def test_verdicts_go_when_their_log_is_gone_and_their_ids_are_spilled(world: World) -> None:
    world.sections = replace(
        world.sections,
        consolidate=replace(world.sections.consolidate, verdict_segment_bytes=Bytes(2_000)),
    )
    for number in range(200):
        world.send([line(f"e{number}")])
        if number % 20 == 0:
            world.run()
    world.run()
    world.log._rotate()
    world.send([line("last")])
    world.log.drop_before(world.log.durable_position)
    world.crash()
    world.run()
    reader = VerdictReader(world.home)
    assert reader.first_position() == 1
    stores = world.consolidator()._stores
    assert stores is not None
    stores.ids.spill(stores.position)
    world.send([line("more")])
    world.clock.advance(2)
    world.run()
    assert 1 < reader.first_position() <= DiskLogReader(world.home.log).first_position()
    again = world.send([line("e5")])
    assert world.outcomes(again) == [COPY]
