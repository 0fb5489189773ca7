"""When the log fails: nothing is acknowledged, every agent goes back, nothing is written twice."""

import asyncio
import errno
import threading

import pytest

from opentrail.batch import digest_of
from opentrail.v1.ingest_pb2 import Batch, Heartbeat, Hello, Source
from opentrail_aggregator.ingest.admission import Code, Refuse
from opentrail_aggregator.ingest.agents_view import agents_view
from opentrail_aggregator.ingest.committer import Committer
from opentrail_aggregator.ingest.ledger import Ledger
from opentrail_aggregator.ingest.peer import Peer
from opentrail_aggregator.ingest.reception import Reception
from opentrail_aggregator.ingest.settings import Grant, IngestSettings
from opentrail_aggregator.ingest.visits import Visit
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.wal.log import LogEntry, LogError
from opentrail_aggregator.wal.writer import LogThread
from tests.aggregator.wal.logs import open_log, read_all
from tests.fakes.clock import FakeClock
from tests.fakes.disk import SimulatedDisk

from .agents import payload

EPOCH = bytes([7]) * 16


class Said:
    """What an agent was told."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.refusals: list[Refuse] = []
        self.is_closed = False

    def acknowledge(self, through: int) -> None:
        self.acknowledged = through

    def refuse(self, refusal: Refuse) -> None:
        self.refusals.append(refusal)

    def close(self) -> None:
        self.is_closed = True

    def codes(self) -> list[tuple[str, int]]:
        return [(refusal.name, refusal.expected) for refusal in self.refusals]


class HeldDisk(SimulatedDisk):
    """A disk whose next sync waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.go_on.set()

    def _sync_file(self, file: object) -> None:
        assert self.go_on.wait(10)
        super()._sync_file(file)  # type: ignore[arg-type]


class Beliefs:
    """Everybody is believed."""

    grants = (Grant(agent="*"),)

    def is_revoked(self, peer: Peer) -> bool:
        return False

    def objection(self, peer: Peer) -> str:
        return ""

    def is_shared(self, name: str) -> bool:
        return False


def peer(name: str) -> Peer:
    return Peer([name], None, "", "127.0.0.1")


class Desk:
    """Reception, committer and log over a disk in memory."""

    def __init__(self) -> None:
        self.disk = HeldDisk()
        self.clock = FakeClock()
        self.metrics = Metrics("ingest", self.clock)
        self.log = open_log(self.disk, segment_bytes=1 << 20)
        self.thread = LogThread(self.log)
        self.failures: list[LogError] = []
        self.committer = Committer(self.thread, on_failed=self.failures.append)
        self.ledger = Ledger(self.log.log_id)
        self.full = ""
        self.beliefs = Beliefs()
        self.reception = Reception(
            IngestSettings(),
            self.beliefs,
            self.ledger,
            self.committer,
            lambda size, is_control: str(self.thread.trouble or self.full),
            self.clock,
            self.metrics,
        )

    def arrive(self, agent: str = "web-1", epoch: bytes = EPOCH) -> tuple[Visit, Said]:
        said = Said()
        hello = Hello(protocol=1, agent=agent, epoch=epoch, next_sequence=1)
        visit = self.reception.greet(hello, peer(agent), said)
        assert isinstance(visit, Visit)
        return visit, said

    def send(self, visit: Visit, sequence: int, body: bytes | None = None) -> None:
        body = payload(str(sequence)) if body is None else body
        batch = Batch(sequence=sequence, digest=digest_of(body), payload=body)
        self.reception.batch(visit, batch)

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            while not self.committer.is_idle:  # noqa: ASYNC110 - the log's thread makes it so
                await asyncio.sleep(0.005)

    async def resume(self) -> None:
        async with asyncio.timeout(10):
            while not self.thread.resume():  # noqa: ASYNC110 - the log's thread makes it so
                await asyncio.sleep(0.005)

    def numbers(self) -> list[int]:
        found = read_all(self.log, self.disk)
        return [e.sequence for e in found if isinstance(e, LogEntry) and e.is_batch]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_a_failed_sync_sends_every_agent_back_and_writes_nothing_twice(number: int) -> None:
    desk = Desk()
    visit, said = desk.arrive()
    other, told = desk.arrive("db-1", bytes([8]) * 16)
    desk.send(visit, 1)
    await desk.settle()
    assert said.acknowledged == 1
    desk.disk.go_on.clear()
    for sequence in (2, 3, 4):
        desk.send(visit, sequence)
    desk.send(other, 1)
    desk.disk.fail_sync = OSError(number, "failed")
    desk.disk.go_on.set()
    await desk.settle()
    assert said.codes() == [("FULL", 2)]
    assert told.codes() == [("FULL", 1)]
    assert len(desk.failures) >= 1
    # What was under way behind the refusal is passed over, what comes again waits for the log.
    desk.send(visit, 5)
    assert said.acknowledged == 1
    await desk.resume()
    for sequence in (2, 3, 4, 5):
        desk.send(visit, sequence)
    desk.send(other, 1)
    await desk.settle()
    assert (said.acknowledged, told.acknowledged) == (5, 1)
    assert sorted(desk.numbers()) == [1, 1, 2, 3, 4, 5]
    desk.thread.close()


async def test_a_batch_is_not_acknowledged_before_its_sync() -> None:
    desk = Desk()
    visit, said = desk.arrive()
    desk.disk.go_on.clear()
    desk.send(visit, 1)
    await asyncio.sleep(0.05)
    assert said.acknowledged == 0
    assert desk.ledger.find("web-1", EPOCH.hex()) is None
    desk.disk.go_on.set()
    await desk.settle()
    assert said.acknowledged == 1
    desk.thread.close()


async def test_an_agent_that_reconnects_is_told_of_what_was_still_on_its_way() -> None:
    desk = Desk()
    visit, _ = desk.arrive()
    desk.disk.go_on.clear()
    desk.send(visit, 1)
    desk.reception.leave(visit)
    again, said = desk.arrive()
    assert desk.reception.welcome(again).acknowledged_through == 0
    desk.send(again, 1)
    desk.disk.go_on.set()
    await desk.settle()
    assert said.acknowledged == 1
    assert desk.numbers() == [1]
    desk.thread.close()


async def test_a_place_is_given_up_when_nobody_needs_it() -> None:
    desk = Desk()
    for number in range(50):
        visit, _ = desk.arrive(epoch=bytes([1, number]) + bytes(14))
        desk.send(visit, 1)
        desk.reception.leave(visit)
    await desk.settle()
    assert desk.reception.places == {}
    assert len(desk.ledger) == 50
    desk.thread.close()


async def test_full_is_said_once_and_the_rest_passed_over_until_the_batch_comes_again() -> None:
    desk = Desk()
    visit, said = desk.arrive()
    desk.full = "no room"
    for sequence in (1, 2, 3):
        desk.send(visit, sequence)
    assert said.codes() == [("FULL", 1)]
    desk.full = ""
    for sequence in (1, 2, 3):
        desk.send(visit, sequence)
    await desk.settle()
    assert said.acknowledged == 3
    desk.thread.close()


async def test_an_import_that_ended_while_the_log_failed_is_said_afterwards() -> None:
    desk = Desk()
    visit, _ = desk.arrive()
    desk.send(visit, 1)
    await desk.settle()
    desk.disk.go_on.clear()
    ended = Source(name="file:/a", position=1, size=1, kind="import", generation="g", ended=True)
    desk.reception.heartbeat(visit, Heartbeat(sequence=1, sources=[ended]))
    desk.disk.fail_sync = OSError(errno.EIO, "failed")
    desk.disk.go_on.set()
    await desk.settle()
    await desk.resume()
    desk.reception.retry_endings()
    await desk.settle()
    kinds = [e.control()["type"] for e in read_all(desk.log, desk.disk)  # type: ignore[union-attr]
             if not e.is_batch]  # type: ignore[union-attr]  # fmt: skip
    assert kinds == ["import-ended"]
    desk.thread.close()


async def test_too_many_numberings_of_one_agent_are_refused() -> None:
    desk = Desk()
    desk.reception.settings = IngestSettings(epochs_max=2)
    for number in range(2):
        visit, _ = desk.arrive(epoch=bytes([1, number]) + bytes(14))
        desk.send(visit, 1)
    await desk.settle()
    hello = Hello(protocol=1, agent="web-1", epoch=bytes([3]) * 16, next_sequence=1)
    refusal = desk.reception.greet(hello, peer("web-1"), Said())
    assert isinstance(refusal, Refuse)
    assert refusal.code == Code.NOT_ALLOWED
    desk.thread.close()


async def test_alarms_are_shown_for_a_while_after_the_last_time() -> None:
    desk = Desk()
    visit, said = desk.arrive()
    desk.send(visit, 1)
    await desk.settle()
    desk.send(visit, 1, payload("other"))
    assert said.is_closed
    assert len(desk.metrics.snapshot()["problems"]) == 1
    desk.clock.advance(599)
    desk.reception.expire_alarms()
    assert len(desk.metrics.snapshot()["problems"]) == 1
    desk.clock.advance(2)
    desk.reception.expire_alarms()
    assert desk.metrics.snapshot()["problems"] == []
    desk.thread.close()


async def test_the_status_names_each_numbering_with_what_is_missing() -> None:
    desk = Desk()
    visit, _ = desk.arrive()
    desk.send(visit, 5)
    await desk.settle()
    (row,) = agents_view(desk.ledger, desk.reception.places)
    assert (row["agent"], row["begins_at"], row["sequence"], row["connected"]) == (
        "web-1", 5, 5, True,
    )  # fmt: skip
    desk.thread.close()
