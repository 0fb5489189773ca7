"""The role on a real server: every kept event once, in the index of its day, for 90 days."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.index.archived import ArchivedEvent
from tests.aggregator.consolidate.world import line
from tests.aggregator.index.harness import Archive
from tests.aggregator.opensearch.harness import DAY, Room
from tests.aggregator.search.contract import when
from tests.real.opensearch import OpenSearchNode

pytestmark = pytest.mark.slow
Make = Callable[..., Room]


@pytest.fixture
def make(opensearch_node: OpenSearchNode, tmp_path: Path) -> Iterator[Make]:
    opensearch_node.clear()
    made: list[Room] = []

    def room(**options: Any) -> Room:
        made.append(Room(tmp_path / f"home-{len(made)}", opensearch_node.url, **options))
        return made[-1]

    yield room
    for each in made:
        each.close()
    opensearch_node.clear()


def test_kept_events_are_found_once_in_the_index_of_their_day(make: Make) -> None:
    room = make()
    room.send(("a", 10), ("b", 20), ("old", 40 * DAY))
    room.send(("a", 10), ("c", 3 * DAY))
    room.run()
    assert room.found() == ["a", "b", "c", "old"]
    assert sorted(room.figures().days.values()) == [1, 1, 2]
    assert len(room.cluster.days()) == 3
    assert room.balance() == (4, 4)


def test_a_day_is_made_with_its_own_date_and_read_through_the_alias(
    make: Make, opensearch_node: OpenSearchNode
) -> None:
    room = make()
    room.send(("a", 30 * DAY))
    room.run()
    (day,) = room.cluster.days()
    _, found = opensearch_node.ask("GET", "/opentrail-events/_settings")
    (settings,) = (each["settings"]["index"] for each in found.values())
    created = int(settings["creation_date"]) // 1000
    assert when(created) == f"{day}T00:00:00Z"
    assert room.now - created < 31 * DAY


def test_what_was_sent_before_the_cursor_was_written_is_not_there_twice(make: Make) -> None:
    room = make()
    room.send(*((f"e-{index}", index) for index in range(50)))
    room.run()
    cursor = room.home.log / "cursors" / "opensearch"
    room.indexer.close()
    cursor.unlink()
    room.start()
    room.send(("later", 1))
    room.run()
    assert len(room.found()) == len(set(room.found())) == 51
    assert room.figures().earlier == 0
    assert room.balance() == (51, 51)


def test_events_that_another_log_brought_are_counted_as_such(make: Make) -> None:
    room = make()
    room.send(("a", 10), ("b", 20))
    room.run()
    after = make()
    after.send(("a", 10), ("new", 5))
    after.run()
    found = after.figures()
    assert (found.indexed, found.earlier, found.kept_total) == (1, 1, 2)
    assert after.found() == ["new", "a", "b"]


def test_days_are_dropped_when_all_of_them_is_older_than_the_retention(make: Make) -> None:
    room = make(days=3)
    room.send(("now", 10), ("edge", 3 * DAY), ("gone", 4 * DAY + DAY // 2 + 1))
    room.run()
    assert room.found() == ["now", "edge"]
    found = room.figures()
    assert (found.indexed, found.expired) == (2, 1)
    for _ in range(40):  # Time passes as it does; a jump would be distrusted.
        room.clock.advance(DAY / 40)
        room.indexer.step()
    room.run()
    assert room.found() == ["now"]
    found = room.figures()
    assert (found.indexed, found.expired, len(room.cluster.days())) == (1, 2, 1)
    assert room.balance() == (3, 3)
    room.send(("late", 4 * DAY))
    room.run()
    assert len(room.cluster.days()) == 1, "an expired day came back"
    assert room.balance() == (4, 4)


def test_a_crash_between_ledger_and_dropping_counts_no_event_twice(make: Make) -> None:
    room = make(days=3)
    room.send(("now", 10), ("edge", 3 * DAY))
    room.run()
    for _ in range(40):
        room.clock.advance(DAY / 40)
    drop, room.indexer._drop = room.indexer._drop, lambda gone: None  # type: ignore[method-assign]
    room.run_until(lambda: room.figures().expired > 0)
    assert drop is not None
    assert room.balance() == (2, 2)
    room.crash()
    room.run()
    assert (room.figures().expired, len(room.cluster.days())) == (1, 1)
    assert room.balance() == (2, 2)


def test_what_the_log_released_comes_from_the_archive(make: Make) -> None:
    archive = Archive()
    room = make(archive=archive)
    room.send(("first", 10))
    room.run()
    gone = room.send(("second", 20), ("third", 30), ("lost", 40))
    for ordinal, (name, age) in enumerate((("second", 20), ("third", 30))):
        record = line(name, eventTime=when(room.now - age))
        archive.held.append(
            ArchivedEvent(record, "111122223333", "eu-west-1", "", gone << 16 | ordinal)
        )
    room.world.release_through(gone)
    room.send(("fourth", 1))
    room.run()
    found = room.found()
    assert {"first", "second", "third", "fourth"} < set(found)
    assert "lost" not in found
    parts, kept = room.balance()
    assert parts == kept
    assert room.figures().missing == kept - len(found)
    assert "opensearch.missing" in room.problems()


def test_no_cluster_costs_a_sentence_in_health_and_no_event(
    make: Make, opensearch_node: OpenSearchNode
) -> None:
    room = make()
    room.send(("a", 10))
    room.point_to("http://127.0.0.1:9")
    room.run_until(lambda: "opensearch.failed" in room.problems())
    assert "127.0.0.1:9" in room.problems()["opensearch.failed"]
    room.point_to(opensearch_node.url)
    room.run()
    assert room.found() == ["a"]
    assert room.problems() == {}


def test_a_cluster_whose_disks_are_gone_is_filled_anew_when_the_cursor_is_removed(
    make: Make, opensearch_node: OpenSearchNode
) -> None:
    room = make()
    room.send(("a", 10), ("b", DAY), ("old", 95 * DAY))
    room.run()
    room.indexer.close()
    opensearch_node.clear()
    (room.home.log / "cursors" / "opensearch").unlink()
    room.start()
    room.run()
    assert room.found() == ["a", "b"]
    assert room.balance() == (3, 3)
    assert room.figures().missing == 0
