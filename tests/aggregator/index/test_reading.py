"""Readers beside a writer: they see what is committed, never less than before, and outlive it."""

import shutil
import threading
from pathlib import Path

import pytest

from opentrail.errors import DamagedError
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.engine import IndexEngine
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.reading import OpenDays
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.search.settings import SearchSettings
from tests.aggregator.index.harness import DAY, Room
from tests.aggregator.index.store import DirectStore
from tests.aggregator.search.contract import NOW, record_at, stored
from tests.fakes.clock import FakeClock


def test_without_an_index_a_question_is_refused_with_the_reason(tmp_path: Path) -> None:
    engine = IndexEngine(Home(tmp_path), SearchSettings(), FakeClock())
    with pytest.raises(SearchUnavailableError, match="no index yet"):
        engine.search("*")


def test_a_day_that_is_dropped_while_it_is_open_answers_to_the_end(tmp_path: Path) -> None:
    room = Room(tmp_path, days=2)
    room.send(*((f"e{i}", i) for i in range(60)))
    room.run()
    days = OpenDays(Generations(room.home.index), 10)
    view = days.view()
    day = days.day(view, view.days[0])
    assert day is not None
    searcher = day.searcher()
    room.clock.advance(5 * DAY)
    room.run()
    assert room.found() == []
    assert searcher.num_docs == day.searcher().num_docs == 60
    assert len(day.records.read([0])) == 1
    assert days.day(view, "2020-01-01") is None


@pytest.mark.slow
def test_a_reader_never_sees_fewer_events_than_before(tmp_path: Path) -> None:
    store = DirectStore(tmp_path)
    stop = threading.Event()
    counts: list[list[int]] = [[], []]
    failures: list[BaseException] = []

    def read(seen: list[int]) -> None:
        engine = IndexEngine(store.home, SearchSettings(), FakeClock(NOW))
        try:
            while not stop.is_set():
                seen.append(engine.total("*", limit=10**9).count)
                engine.search("eventName:RunInstances", limit=20)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read, args=(seen,)) for seen in counts]
    for reader in readers:
        reader.start()
    for turn in range(12):
        store.add([stored(record_at(NOW - 5 - i, f"e{turn}-{i}")) for i in range(20)])
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert all(seen and seen == sorted(seen) for seen in counts)
    assert store.engine.total("*").count == 240
    store.close()


def test_few_days_are_kept_open_and_all_of_them_answer(tmp_path: Path) -> None:
    store = DirectStore(tmp_path)
    store.add([stored(record_at(NOW - i * DAY - 5, f"e{i}")) for i in range(12)])
    engine = IndexEngine(store.home, SearchSettings(open_days_max=3), FakeClock(NOW))
    assert engine.total("*").count == 12
    assert [hit.event_id for hit in engine.search("*").hits] == [f"e{i}" for i in range(12)]
    assert len(engine._days._open) == 3
    store.close()


def test_newest_answers_do_not_open_older_days(tmp_path: Path) -> None:
    store = DirectStore(tmp_path)
    store.add([stored(record_at(NOW - i * DAY - 5, f"e{i}")) for i in range(12)])
    engine = IndexEngine(store.home, SearchSettings(), FakeClock(NOW))
    assert engine.search("*", limit=2).more
    assert len(engine._days._open) == 3
    store.close()


def test_a_damaged_block_is_told_with_its_place_and_found_by_a_recount(tmp_path: Path) -> None:
    store = DirectStore(tmp_path)
    store.add([stored(record_at(NOW - 5 - i, f"e{i}")) for i in range(5)])
    (records,) = store.home.index.rglob("records")
    content = bytearray(records.read_bytes())
    content[40] ^= 1
    records.write_bytes(content)
    engine = IndexEngine(store.home, SearchSettings(), FakeClock(NOW))
    with pytest.raises(DamagedError, match="byte 0 is damaged"):
        engine.search("*")
    assert engine.total("*").count == 5
    assert engine.figures(is_thorough=True).unreadable == 5
    store.close()


def test_a_document_taken_away_is_noticed_by_the_figures(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.send(*((f"e{i}", i) for i in range(10)), *((f"y{i}", DAY + i) for i in range(5)))
    room.run()
    assert room.balance() == (15, 15)
    room.indexer.close()
    generation = room.generation()
    shutil.rmtree(generation.day(generation.days()[0]))
    assert room.balance() == (10, 15)
