"""Log and ledger stay in step through kills; the log says which settings were in force."""

from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail.limits import MIB
from opentrail.settings import Bytes
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.books import Books
from opentrail_aggregator.ingest.ledger import Numbering
from opentrail_aggregator.wal.cursors import Cursors
from opentrail_aggregator.wal.log import BatchMeta, batch_frame
from opentrail_aggregator.wal.settings import LogSettings

from .agents import entries

EPOCH = "cd" * 16
SMALL = LogSettings(max_bytes=Bytes(8 * MIB))


def open_books(home: Path, log: LogSettings = SMALL, **logical: object) -> Books:
    return Books(Home(home), log, {"grants": []} | logical, SystemClock())


def commit(books: Books, numbers: range, size: int = 10) -> None:
    frames = [
        batch_frame(BatchMeta("web-1", EPOCH, n, f"{n:032x}"), bytes(size), 1, 0) for n in numbers
    ]
    for begin in range(0, len(frames), 5):
        assert books.thread.submit(frames[begin : begin + 5]).result(10).error is None


def known(books: Books) -> Numbering:
    found = books.ledger.find("web-1", EPOCH)
    assert found is not None
    return found


def test_a_kill_costs_the_ledger_nothing(tmp_path: Path) -> None:
    """The ledger is not written down before the kill: it is read from the log again."""
    books = open_books(tmp_path)
    commit(books, range(1, 21))
    books.thread.close()
    again = open_books(tmp_path)
    assert (known(again).begins_at, known(again).last) == (1, 20)
    assert again.ledger.digest("web-1", EPOCH, 13) == (13).to_bytes(16, "big")
    again.close()
    assert known(open_closed(tmp_path)).last == 20


def release(books: Books) -> None:
    """Release, and wait until the thread has done it."""
    books.release()
    for _ in range(2):
        books.thread.submit([]).result(10)


def open_closed(home: Path) -> Books:
    books = open_books(home)
    books.close()
    return books


def test_settings_are_written_when_they_changed_and_only_then(tmp_path: Path) -> None:
    for account in ("1" * 12, "1" * 12, "2" * 12, "2" * 12):
        open_books(tmp_path, account=account).close()
    written = [entry.control() for entry in entries(tmp_path)]
    assert [(each["type"], each["account"]) for each in written] == [
        ("settings", "1" * 12),
        ("settings", "2" * 12),
    ]


def test_settings_are_found_again_after_a_kill(tmp_path: Path) -> None:
    for _ in range(3):
        open_books(tmp_path).thread.close()
    assert [entry.control()["type"] for entry in entries(tmp_path)] == ["settings"]


def test_segments_go_when_readers_passed_and_the_ledger_remembers(tmp_path: Path) -> None:
    books = open_books(tmp_path)
    commit(books, range(1, 61), size=100_000)
    for number in range(1, 61):
        books.ledger.book(number + 1, 1, "web-1", EPOCH, number, number.to_bytes(16, "big"))
    cursors = Cursors(tmp_path / "log" / "cursors", books.log.log_id)
    for name in SMALL.readers:
        cursors.commit(name, books.log.durable_position)
    release(books)
    assert books.first_position() == 1, "the ledger was not written down yet"
    books.save_if_rotated()
    release(books)
    first = books.first_position()
    assert first > 30
    books.close()
    again = open_books(tmp_path)
    assert again.first_position() == first
    assert (known(again).begins_at, known(again).last) == (1, 60)
    assert again.ledger.digest("web-1", EPOCH, 2) == (2).to_bytes(16, "big"), "its segment is gone"
    again.close()


def test_damage_in_the_tail_is_survived_and_its_numbers_are_named(tmp_path: Path) -> None:
    books = open_books(tmp_path)
    commit(books, range(1, 31))
    books.thread.close()
    (segment,) = sorted((tmp_path / "log").glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    again = open_books(tmp_path)
    assert again.lost_positions == 1
    ((first, last),) = known(again).missing
    assert first == last
    assert known(again).last == 30
    again.close()


def test_a_ledger_that_is_gone_is_made_again_from_the_log(tmp_path: Path) -> None:
    books = open_books(tmp_path)
    commit(books, range(1, 31))
    books.close()
    (tmp_path / "log" / "agents" / "ledger").write_bytes(b"rubbish")
    again = open_books(tmp_path)
    assert any("made again" in finding for finding in again.findings)
    assert len(again.ledger) == 1
    assert known(again).last == 30
    again.close()


@pytest.mark.slow
def test_a_start_is_quick_and_small_whatever_the_backlog(tmp_path: Path) -> None:
    """600 MB in segments of 64 MiB: opening reads the last one and what the ledger lacks."""
    import resource
    import time

    large = LogSettings(max_bytes=Bytes(2048 * MIB))
    books = open_books(tmp_path, large)
    frames = [
        batch_frame(BatchMeta("web-1", EPOCH, n, f"{n:032x}"), bytes(1 << 20), 1, 0)
        for n in range(600)
    ]
    for number, frame in enumerate(frames):
        assert books.thread.submit([frame]).result(60).error is None
        books.ledger.book(number + 2, 1, "web-1", EPOCH, number, number.to_bytes(16, "big"))
        books.save_if_rotated()
    books.thread.close()
    before = resource.getrusage(resource.RUSAGE_SELF)
    begin = time.monotonic()
    again = open_books(tmp_path, large)
    took = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert known(again).last == 599
    again.close()
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    assert took < 2.0
