"""The index holds every kept event of the retention exactly once, whatever happens to its role."""

import resource
import signal
from pathlib import Path

import msgspec
import pytest

from opentrail.batch import SourceRun
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.archived import ArchivedEvent
from opentrail_aggregator.index.generation import TERMS, Generations
from opentrail_aggregator.index.indexer import Indexer
from opentrail_aggregator.index.retention import RetentionClock, day_of, oldest_day
from opentrail_aggregator.index.schema import SCHEMA_VERSION
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.wal.cursors import Cursors
from tests.aggregator.consolidate.world import line
from tests.aggregator.index.harness import DAY, Archive, Room, Sections
from tests.aggregator.search.contract import when
from tests.fakes.clock import FakeClock


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def cursor(room: Room) -> int:
    return Cursors(room.home.log / "cursors").read("index")[0]


def test_a_kept_event_is_found_and_a_copy_is_not_found_twice(room: Room) -> None:
    room.send(("one", 10), ("two", 20))
    room.send(("two", 20), ("three", 30))
    room.run()
    assert room.found() == ["one", "two", "three"]
    assert room.balance() == (3, 3)
    assert cursor(room) == room.figures().position == 3


def test_the_first_event_after_a_quiet_time_is_found_at_once(room: Room) -> None:
    room.send(("one", 10))
    room.run()
    room.clock.advance(60)
    room.send(("two", 5))
    room.indexer.step()
    assert "two" in room.found()


def test_under_load_commits_wait_their_interval(room: Room) -> None:
    room.send(("one", 10))
    room.indexer.step()
    room.send(("two", 10))
    room.indexer.step()
    assert room.found() == ["one"]
    room.clock.advance(0.6)
    room.indexer.step()
    assert room.found() == ["one", "two"]


def test_a_record_without_an_id_is_found_by_its_derived_one(room: Room) -> None:
    text = line("x", eventID=None, eventTime=when(room.now - 5))
    derived = "0d0d0d0d-1111-5222-8333-444444444444"
    run = SourceRun(source="file:/a", events=1, derived={0: derived})
    room.world.send([text], sources=[run])
    room.world.run()
    room.run()
    (hit,) = room.engine.get(derived)
    assert hit.record == text
    assert room.found(f"eventID:{derived}") == [derived]


def test_what_was_not_committed_is_read_again_after_a_crash(room: Room) -> None:
    room.send(("one", 10))
    room.indexer.step()
    room.send(("two", 10))
    room.indexer.step()
    room.crash()
    room.run()
    assert sorted(room.found()) == ["one", "two"]
    assert room.balance() == (2, 2)


def test_a_commit_the_state_does_not_know_of_doubles_nothing(room: Room) -> None:
    room.send(("one", 10), ("late", 40 * DAY))
    room.run()
    state = room.generation().read()
    room.send(("two", 10), ("later", 41 * DAY))
    room.run()
    room.crash()
    # As if the crash had come after the commits and before the state was written.
    room.generation().write(state)
    before = room.figures()
    assert (before.indexed, before.kept_total, before.position) == (2, 2, state.position)
    room.run()
    assert sorted(room.found()) == ["late", "later", "one", "two"]
    assert room.figures().indexed == 4
    assert room.figures(is_thorough=True).unreadable == 0


def test_an_orderly_stop_leaves_nothing_to_be_read_again(room: Room) -> None:
    room.send(*((f"e{i}", i * 600) for i in range(300)))
    while room.indexer._follower is None or room.indexer._follower.read_through < 2:
        room.indexer.step()
    room.indexer.close()
    assert room.figures().indexed == 300
    assert cursor(room) == 2


def test_a_day_is_held_until_all_of_it_is_older_than_the_retention(tmp_path: Path) -> None:
    room = Room(tmp_path, days=90)
    midnight = room.now - DAY // 2
    edge = midnight - 90 * DAY
    room.send(("inside", room.now - edge), ("outside", room.now - edge + 1), ("new", 1))
    room.run()
    assert room.found() == ["new", "inside"]
    assert (room.figures().indexed, room.figures().expired) == (2, 1)
    room.clock.advance(midnight + DAY - room.now - 1)
    room.indexer.step()
    assert "inside" in room.found()
    room.clock.advance(2)
    room.indexer.step()
    assert room.found() == ["new"]
    assert (room.figures().indexed, room.figures().expired) == (1, 2)
    assert not room.generation().day(day_of(edge)).exists()
    assert room.balance() == (3, 3)


def test_events_of_a_dropped_day_are_expired_and_stay_so(tmp_path: Path) -> None:
    room = Room(tmp_path, days=2)
    room.send(*((f"a{i}", i * 4000) for i in range(40)))
    room.run()
    for _ in range(5):
        room.clock.advance(DAY)
        room.run(10)
        assert room.balance() == (40, 40)
        room.crash()
    assert room.found() == []
    room.send(("very late", 9 * DAY))
    room.run()
    found = room.figures()
    assert (found.indexed, found.expired, found.kept_total) == (0, 41, 41)


def test_a_drop_that_a_crash_interrupts_is_finished_and_counted_once(tmp_path: Path) -> None:
    room = Room(tmp_path, days=2)
    room.send(("old", DAY + 5), ("new", 5))
    room.run()
    generation = room.generation()
    old = day_of(room.now - DAY - 5)
    room.crash()
    state = generation.read()
    # As if the crash had come between the ledger and the removal of the folder.
    generation.write(msgspec.structs.replace(state, expired=state.expired + 1, dropping=(old,)))
    assert room.found() == ["new"]
    assert room.balance() == (2, 2)
    room.run()
    assert not generation.day(old).exists()
    assert generation.read().dropping == ()
    assert room.balance() == (2, 2)


def test_an_event_read_again_after_its_day_grew_too_old_counts_once(tmp_path: Path) -> None:
    room = Room(tmp_path, days=2)
    room.send(("edge", 2 * DAY))
    state = None
    while not room.found_or_nothing():
        room.indexer.step()
        state = state or room.generation().read()
        room.clock.advance(0.3)
    room.crash()
    assert state is not None
    room.generation().write(state)
    room.clock.advance(DAY)
    room.run()
    found = room.figures()
    assert (found.indexed, found.expired, found.kept_total) == (0, 1, 1)


def test_a_clock_that_jumps_ahead_drops_nothing_at_once() -> None:
    clock = FakeClock(1_767_225_600)
    retention = RetentionClock(clock, 90)
    before = retention.oldest()
    clock.jump(400 * DAY)
    assert retention.oldest() == before
    assert retention.is_unsettled
    clock.jump(-400 * DAY)
    clock.advance(700)
    assert retention.oldest() == before
    clock.advance(2 * DAY)
    assert retention.oldest() == oldest_day(clock.now_ns(), 90) > before


@pytest.mark.slow
def test_many_days_in_random_order_need_few_writers(room: Room) -> None:
    days = []
    for batch in range(12):
        room.send(*((f"e{batch}-{i}", ((i * 37 + batch) % 30) * DAY + i) for i in range(200)))
    while room.indexer.step() or room.figures_or_zero() < 2400:
        follower = room.indexer._follower
        assert follower is not None
        days.append(sum(day.is_open for day in follower.days._days.values()))
        room.clock.advance(0.05)
    assert max(days) <= 5
    assert len(set(room.found())) == len(room.found()) == 2400
    assert room.balance() == (2400, 2400)


def test_temporary_files_of_a_killed_writer_are_removed(room: Room) -> None:
    room.send(("one", 10))
    room.run()
    terms = room.generation().day(day_of(room.now - 60)) / TERMS
    room.crash()
    for name in (".tmpAbC123", ".tmp9"):
        (terms / name).write_bytes(b"half a meta")
    room.send(("two", 10))
    room.run()
    assert [each.name for each in terms.iterdir() if each.name.startswith(".tmp")] == []
    assert len(room.found()) == 2


def test_a_torn_tail_of_the_records_is_cut_before_more_is_written(room: Room) -> None:
    room.send(("one", 10))
    room.run()
    records = room.generation().day(day_of(room.now - 60)) / "records"
    room.crash()
    size = records.stat().st_size
    with records.open("ab") as file:
        file.write(b"\1" * 5000)
    room.send(("two", 10))
    room.run()
    assert sorted(room.found()) == ["one", "two"]
    assert records.stat().st_size < size + 5000
    assert room.figures(is_thorough=True).unreadable == 0


def test_a_full_disk_is_told_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.send(("one", 10))
    room.run()
    room.send(*((f"e{i}", 10 + i) for i in range(400)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))
    try:
        steps = 0
        for _ in range(40):
            steps += room.indexer.step()
            room.clock.advance(0.2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "index.failed" in room.problems()
    assert steps < 15, "a failing disk is not tried without pause"
    room.clock.advance(60)
    room.run()
    assert room.problems() == {}
    assert len(room.found()) == 401
    assert room.doubled() == []
    assert room.balance() == (401, 401)


def test_a_day_that_cannot_be_opened_is_told_and_retried(room: Room) -> None:
    room.send(("one", 10))
    room.run()
    meta = room.generation().day(day_of(room.now - 60)) / TERMS / "meta.json"
    room.crash()
    whole = meta.read_bytes()
    meta.write_bytes(b"{}")
    room.send(("two", 10))
    room.run(5)
    assert "index.failed" in room.problems()
    meta.write_bytes(whole)
    room.clock.advance(60)
    room.run()
    assert sorted(room.found()) == ["one", "two"]
    assert room.problems() == {}


def test_another_log_begins_another_generation(room: Room, tmp_path: Path) -> None:
    room.send(("one", 10))
    room.run()
    first = room.generation().name
    generation = room.generation()
    room.crash()
    generation.write(msgspec.structs.replace(generation.read(), log_id="another", position=99))
    room.run()
    assert room.generation().name > first
    assert room.found() == ["one"]
    assert "index.begun-anew" in room.problems()
    assert Generations(room.home.index).names() == [room.generation().name]


def test_an_index_of_another_format_is_refused_then_made_anew_from_log_and_archive(
    tmp_path: Path,
) -> None:
    archive = Archive()
    room = Room(tmp_path, archive=archive)
    position = room.send(("one", 10))
    room.world.release_through(position)
    room.start()
    room.send(("two", 10))
    room.run()
    room.indexer.close()
    archive.held = archived(
        room,
        {"one": (position << 16, 10)}
        | {
            f"filler-{each - 1}": (each << 16, 10)
            for each in range(position + 1, room.world.log.first_position)
        },
    )
    generation = room.generation()
    generation.write(msgspec.structs.replace(generation.read(), version=SCHEMA_VERSION - 1))
    with pytest.raises(SearchUnavailableError, match=r"format 0, this program reads 1; .* rebuild"):
        room.found()
    room.start()
    room.run()
    assert {"one", "two"} <= set(room.found())
    assert room.doubled() == []
    assert room.balance()[0] == room.balance()[1]
    assert room.figures().missing == 0
    assert room.generation().name > generation.name
    assert "format 0, this program's is 1" in room.problems()["index.begun-anew"]


def test_an_index_that_began_before_the_log_is_of_the_log_that_came(tmp_path: Path) -> None:
    early = Indexer(Home(tmp_path), Sections(), FakeClock(), Metrics("index", FakeClock()))
    assert not early.step()
    (tmp_path / "log").mkdir()  # Ingest is just making it: there is no head to read yet.
    assert not early.step()
    early.close()
    assert Generations(tmp_path / "index").current() is None
    room = Room(tmp_path)
    room.send(("one", 10))
    room.run()
    room.crash()
    room.run()
    assert room.problems() == {}
    assert room.generation().name == "g000001"


def archived(room: Room, names: dict[str, tuple[int, int]]) -> list[ArchivedEvent]:
    """Events by id: their global position and age."""
    return [
        ArchivedEvent(
            line(name, eventTime=when(room.now - age)), "111122223333", "eu-west-1", "", position
        )
        for name, (position, age) in names.items()
    ]


def test_what_the_log_lets_go_after_the_look_at_its_beginning_is_left_to_the_archive(
    tmp_path: Path,
) -> None:
    room = Room(tmp_path, archive=Archive())
    room.send(("one", 10))
    room.run()
    follower = room.indexer._follower
    assert follower is not None
    gone = room.send(("two", 10))
    before = follower.read_through
    room.world.release_through(gone)
    assert follower.read("") == 0
    assert follower.read_through == before < gone


def test_a_hole_in_the_log_is_filled_from_the_archive(tmp_path: Path) -> None:
    archive = Archive()
    room = Room(tmp_path, archive=archive)
    room.send(("one", 10))
    room.run()
    room.indexer.close()
    second = room.send(("two", 10), ("old", 200 * DAY), ("unselected", 30))
    archive.held = archived(room, {"old": (second << 16 | 1, 200 * DAY), "two": (second << 16, 10)})
    room.world.release_through(second)
    first = room.world.log.first_position
    archive.held += [
        ArchivedEvent(line(name, eventTime="2025-12-31T10:11:12Z"), "111122223333", "eu-west-1",
                      "", position << 16)
        for position in range(second + 1, first)
        for name in [f"filler-{position - 1}"]
    ]  # fmt: skip
    room.start()
    room.run()
    found = room.figures()
    assert {"one", "two"} <= set(room.found())
    assert room.doubled() == []
    assert (found.expired, found.missing) == (1, 1)
    assert room.balance()[0] == room.balance()[1]
    assert list(room.problems()) == ["index.missing"]
