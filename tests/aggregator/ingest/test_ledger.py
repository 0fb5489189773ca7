"""Numbers are remembered longer than the segments that held them, through any kill."""

import random
from pathlib import Path

import pytest

from opentrail.segment.frame import Kind
from opentrail_aggregator.ingest.ledger import Ledger
from opentrail_aggregator.ingest.ledger_store import SPILL_DIGESTS, LedgerStore
from opentrail_aggregator.wal.log import LogEntry
from tests.fakes.disk import PowerCut, SimulatedDisk

LOG = Path("/place/log")
EPOCH = "ab" * 16


def digest(number: int) -> bytes:
    return number.to_bytes(16, "little")


def book(ledger: Ledger, numbers: range, agent: str = "web-1", epoch: str = EPOCH) -> None:
    for number in numbers:
        ledger.book(ledger.position + 1, 1, agent, epoch, number, digest(number))


def test_a_number_is_known_with_its_digest() -> None:
    ledger = Ledger("log")
    book(ledger, range(5, 9))
    found = ledger.find("web-1", EPOCH)
    assert found is not None
    assert (found.begins_at, found.last, found.position) == (5, 8, 4)
    assert ledger.digest("web-1", EPOCH, 6) == digest(6)
    assert ledger.digest("web-1", EPOCH, 4) is None
    assert ledger.digest("web-1", EPOCH, 9) is None
    assert ledger.digest("web-2", EPOCH, 6) is None
    assert ledger.epochs_of("web-1") == 1


def test_reading_a_frame_again_changes_nothing() -> None:
    ledger = Ledger("log")
    book(ledger, range(1, 4))
    entry = LogEntry(2, Kind.BATCH, 1, "web-1", EPOCH, 2, digest(2).hex(), "*", 1, 0, b"")
    ledger.follow(entry)
    found = ledger.find("web-1", EPOCH)
    assert found is not None
    assert (found.last, found.missing, len(found.digests)) == (3, [], 48)


def test_numbers_lost_to_damage_are_named_and_the_later_ones_known() -> None:
    ledger = Ledger("log")
    book(ledger, range(1, 4))
    book(ledger, range(6, 8))
    found = ledger.find("web-1", EPOCH)
    assert found is not None
    assert found.missing == [(4, 5)]
    assert ledger.digest("web-1", EPOCH, 7) == digest(7)


def test_what_was_written_down_comes_back() -> None:
    disk = SimulatedDisk()
    ledger = LedgerStore(LOG, disk).load("log")
    book(ledger, range(1, 50))
    book(ledger, range(7, 9), "db-1")
    ledger.settings_digest = "d"
    LedgerStore(LOG, disk).save(ledger)
    again = LedgerStore(LOG, disk).load("log")
    assert (again.position, again.settings_digest, len(again)) == (51, "d", 2)
    assert again.digest("web-1", EPOCH, 17) == digest(17)
    assert again.digest("db-1", EPOCH, 8) == digest(8)


def test_old_digests_leave_memory_and_are_still_found() -> None:
    disk = SimulatedDisk()
    store = LedgerStore(LOG, disk)
    ledger = store.load("log")
    for begin in (0, SPILL_DIGESTS + 10):
        book(ledger, range(begin + 1, begin + SPILL_DIGESTS + 11))
        store.save(ledger)
        assert ledger.recent_digests() == 0
    again = LedgerStore(LOG, disk).load("log")
    for number in (1, SPILL_DIGESTS, SPILL_DIGESTS + 11, 2 * SPILL_DIGESTS + 20):
        assert again.digest("web-1", EPOCH, number) == digest(number)
    book(again, range(2 * SPILL_DIGESTS + 21, 2 * SPILL_DIGESTS + 23))
    assert again.digest("web-1", EPOCH, 2 * SPILL_DIGESTS + 22) == digest(2 * SPILL_DIGESTS + 22)


@pytest.mark.parametrize("content", [b"", b"OTL1", bytes(5000), b"OTL9" + bytes(100)])
def test_a_ledger_that_cannot_be_read_is_kept_and_made_again(content: bytes) -> None:
    disk = SimulatedDisk()
    disk.replace(LOG / "agents" / "ledger", content)
    store = LedgerStore(LOG, disk)
    assert len(store.load("log")) == 0
    assert disk.exists(LOG / "agents" / "ledger.broken")
    assert "made again from the log" in store.findings[0]


def test_a_flipped_bit_anywhere_in_the_ledger_is_noticed() -> None:
    disk = SimulatedDisk()
    ledger = LedgerStore(LOG, disk).load("log")
    book(ledger, range(1, 4))
    LedgerStore(LOG, disk).save(ledger)
    path = LOG / "agents" / "ledger"
    whole = disk.read(path, 0, disk.size(path))
    for offset in range(len(whole)):
        disk.replace(path, whole)
        disk.flip(path, offset, offset % 8)
        store = LedgerStore(LOG, disk)
        assert len(store.load("log")) == 0, offset
        assert store.findings
        disk.unlink(path.with_name("ledger.broken"))


def test_the_ledger_of_another_log_is_not_used() -> None:
    disk = SimulatedDisk()
    ledger = LedgerStore(LOG, disk).load("log")
    book(ledger, range(1, 4))
    LedgerStore(LOG, disk).save(ledger)
    assert len(LedgerStore(LOG, disk).load("other")) == 0


@pytest.mark.parametrize("operations", range(12))
def test_losing_power_while_it_is_written_leaves_the_old_or_the_new(operations: int) -> None:
    disk = SimulatedDisk()
    store = LedgerStore(LOG, disk)
    ledger = store.load("log")
    book(ledger, range(1, 4))
    store.save(ledger)
    book(ledger, range(4, SPILL_DIGESTS + 10))
    disk.operations_until_cut = operations
    try:
        store.save(ledger)
    except PowerCut:
        disk.power_cut(random.Random(operations))
    again = LedgerStore(LOG, disk).load("log")
    assert again.position in (3, SPILL_DIGESTS + 9)
    known = 3 if again.position == 3 else SPILL_DIGESTS + 9
    assert again.digest("web-1", EPOCH, known) == digest(known)
