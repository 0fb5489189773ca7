"""A new index grows beside the one that answers, and one rename puts it in its place."""

from pathlib import Path

import pytest

from opentrail.errors import LockedError
from opentrail_aggregator.index.archived import ArchivedEvent
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.rebuild import Rebuild, RebuildError
from opentrail_aggregator.wal.cursors import Cursors
from tests.aggregator.consolidate.world import line
from tests.aggregator.index.harness import DAY, Archive, Room
from tests.aggregator.search.contract import when


@pytest.mark.slow
def test_a_rebuild_from_the_log_gives_the_same_answers(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.send(*((f"e{i}", i * 5000) for i in range(200)))
    room.send(("e0", 0), ("old", 100 * DAY))
    room.run()
    before, first = room.found(), room.generation().name
    stages = [each.stage for each in room.rebuild("log")]
    assert stages[-1] == "switched"
    assert room.generation().name > first
    assert room.found() == before
    assert room.balance() == (201, 201)
    room.run()
    assert Generations(room.home.index).names() == [room.generation().name]
    room.send(("after", 1))
    room.run()
    assert set(room.found()) == {*before, "after"}
    assert room.doubled() == []


def test_searches_and_indexing_go_on_while_it_runs(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.send(*((f"e{i}", i * 50) for i in range(300)))
    room.run()
    page = room.engine.search("*", limit=100)
    rebuild = Rebuild(room.home, room.sections, room.clock, source="log").run()
    for number, progress in enumerate(rebuild):
        if number < 4:
            room.send((f"meanwhile-{number}", 30 * number))
            room.run(4)
            assert len(room.found()) == 301 + number
        if progress.stage == "switched":
            break
    room.run()
    assert len(room.found()) == len(set(room.found())) == 304
    # A cursor made before the switch goes on behind it.
    rest = room.engine.search("*", limit=1000, cursor=page.next_cursor).hits
    assert not {hit.event_id for hit in page.hits} & {hit.event_id for hit in rest}
    assert room.balance() == (304, 304)


def test_the_log_is_held_for_a_running_rebuild(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.send(("one", 10))
    room.run()
    rebuild = Rebuild(room.home, room.sections, room.clock, source="log").run()
    next(rebuild)
    held = Generations(room.home.index).names()[-1]
    room.send(("two", 10))
    room.run()
    cursors = Cursors(room.home.log / "cursors")
    assert cursors.read("index")[0] < room.generation().read().position
    assert held > room.generation().name
    for _ in rebuild:
        pass
    room.send(("three", 10))
    room.run()
    assert cursors.read("index")[0] == room.generation().read().position


def test_an_interrupted_rebuild_leaves_the_old_index_and_is_begun_anew(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.send(*((f"e{i}", i * 50) for i in range(50)))
    room.run()
    rebuild = Rebuild(room.home, room.sections, room.clock, source="log").run()
    next(rebuild)
    rebuild.close()
    assert len(room.found()) == 50
    assert len(Generations(room.home.index).names()) == 2
    room.rebuild("log")
    room.run()
    assert len(room.found()) == 50
    assert len(Generations(room.home.index).names()) == 1


def test_a_rebuild_from_the_archive_goes_on_in_the_log(tmp_path: Path) -> None:
    archive = Archive()
    room = Room(tmp_path, archive=archive)
    first = room.send(("both", 10), ("log only", 20), ("old", 200 * DAY))
    archive.held = [
        ArchivedEvent(line("earlier", eventTime=when(room.now - 5 * DAY)), "111122223333",
                      "eu-west-1", "", 0),
        ArchivedEvent(line("both", eventTime=when(room.now - 10)), "111122223333",
                      "eu-west-1", "", first << 16),
        ArchivedEvent(line("old", eventTime=when(room.now - 200 * DAY)), "111122223333",
                      "eu-west-1", "", first << 16 | 2),
        ArchivedEvent(b"not a record", "111122223333", "eu-west-1", "", 0),
    ]  # fmt: skip
    room.run()
    assert sorted(room.found()) == ["both", "log only"]
    room.rebuild("archive")
    assert sorted(room.found()) == ["both", "earlier", "log only"]
    room.run()
    found = room.figures()
    assert (found.indexed, found.restored, found.expired, found.missing) == (2, 1, 1, 0)
    assert room.balance() == (3, 3)
    room.send(("after", 1))
    room.run()
    assert sorted(room.found()) == ["after", "both", "earlier", "log only"]
    assert room.doubled() == []


def test_a_rebuild_says_what_the_archive_cannot_bring_back(tmp_path: Path) -> None:
    archive = Archive()
    room = Room(tmp_path, archive=archive)
    first = room.send(("kept", 10), ("unselected", 20))
    room.run()
    room.indexer.close()
    room.world.release_through(first)
    border = room.world.log.first_position
    archive.held = [
        ArchivedEvent(line("kept", eventTime=when(room.now - 10)), "111122223333", "eu-west-1",
                      "", first << 16)
    ]  # fmt: skip
    with pytest.raises(RebuildError, match="--from archive"):
        room.rebuild("log")
    last = room.rebuild("archive")[-1]
    fillers = border - first - 1
    assert last.missing == 1 + fillers
    assert "kept" in room.found()
    assert "unselected" not in room.found()
    assert room.balance()[0] == room.balance()[1]


def test_two_rebuilds_at_once_are_refused(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.send(("one", 10))
    room.run()
    running = Rebuild(room.home, room.sections, room.clock, source="log").run()
    next(running)
    with pytest.raises(LockedError):
        room.rebuild("log")
    running.close()


def test_without_an_archive_a_rebuild_from_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RebuildError):
        Room(tmp_path).rebuild("archive")
