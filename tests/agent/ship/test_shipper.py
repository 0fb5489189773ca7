"""The shipper against an aggregator that refuses, forgets, hangs, lies and dies.

The rule: whatever happens, everything that is in the spool is in the log, each batch once, byte for
byte, and a batch that is sent again has the same bytes as before.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from opentrail.batch import SourceRun, batch_refused, seal_batch
from opentrail.clock import SystemClock
from opentrail.segment.frame import Frame, Kind
from opentrail.settings import Seconds
from opentrail.v1 import ingest_pb2 as pb
from opentrail_agent.metrics import Metrics
from opentrail_agent.ship.dial import CertificateError, Certificates
from opentrail_agent.ship.heartbeat import Report
from opentrail_agent.ship.settings import ShipSettings, TlsSettings
from opentrail_agent.ship.shipper import Shipper
from opentrail_agent.spool.aside import Aside, kept_aside
from opentrail_agent.spool.room import Room
from opentrail_agent.spool.spool import Spool
from opentrail_agent.spool.writer import SpoolWriter
from tests.fakes.aggregator import Code, FakeAggregator

NUMBERS = itertools.count()


class Agent:
    """A spool and a shipper, without sources."""

    def __init__(
        self,
        directory: Path,
        addresses: list[str],
        tls: TlsSettings | None = None,
        settings: dict[str, float] | None = None,
    ) -> None:
        clock = SystemClock()
        self.metrics = Metrics(clock)
        self.ended = False
        self.spool = SpoolWriter(
            Spool(directory, clock), Room(1 << 40, 0, lambda: 1 << 50), clock, self.metrics
        )
        fields = {"backoff_initial_seconds": 0.02, "backoff_max_seconds": 0.1, **(settings or {})}
        self.shipper = Shipper(
            ShipSettings(
                addresses=addresses,
                allow_plaintext=True,
                tls=tls or TlsSettings(),
                **{name: Seconds(value) for name, value in fields.items()},  # type: ignore[arg-type]
            ),
            "agent-1",
            self.spool,
            self.report,
            clock,
            self.metrics,
        )
        self.running = asyncio.create_task(self.shipper.run())
        self.sent: list[bytes] = []

    def report(self) -> Report:
        source = {
            "name": "file:/a", "position": 7, "size": 9, "generation": "g", "kind": "import",
            "ended": self.ended,
        }  # fmt: skip
        return Report(123, [source])

    async def write(self, count: int = 1) -> None:
        for _ in range(count):
            line = b'{"eventID":"%d"}\n' % next(NUMBERS)
            payload = seal_batch(line, 1, [SourceRun(source="file:/a", events=1)], [])
            self.sent.append(payload)
            await self.spool.append(payload, 1, 0)

    async def close(self) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running
        await self.spool.close()

    async def all_acknowledged(self, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while self.spool.backlog_batches:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


Start = Callable[..., Awaitable[Agent]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Agent] = []

    async def build(*servers: FakeAggregator, spool: str = "spool", **settings: float) -> Agent:
        started.append(
            Agent(tmp_path / spool, [each.address for each in servers], settings=settings)
        )
        return started[-1]

    yield build
    for agent in started:
        await agent.close()


@pytest.fixture
async def aggregator() -> AsyncIterator[FakeAggregator]:
    async with FakeAggregator() as server:
        yield server


def assert_all_arrived_once(server: FakeAggregator, agent: Agent) -> None:
    assert server.log == agent.sent
    by_number = defaultdict(set)
    for epoch, sequence, payload in server.seen.batches:
        by_number[epoch, sequence].add(payload)
    assert all(len(payloads) == 1 for payloads in by_number.values()), "a re-send changed bytes"


async def test_what_is_spooled_arrives_in_order(start: Start, aggregator: FakeAggregator) -> None:
    agent = await start(aggregator)
    await agent.write(50)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert agent.metrics.value("opentrail_agent_resent_batches_total") == 0


async def test_what_was_spooled_before_an_outage_arrives_after_it(
    start: Start, tmp_path: Path
) -> None:
    async with FakeAggregator() as first:
        agent = await start(first)
        await agent.write(5)
        await agent.all_acknowledged()
    await agent.write(20)
    assert "uplink" in agent.metrics.problems() or agent.spool.backlog_batches == 20
    async with FakeAggregator(port=first.port) as second:
        second._held, second.log = first._held, first.log
        await agent.all_acknowledged()
        assert_all_arrived_once(second, agent)
    assert agent.spool.backlog_batches == 0


async def test_acknowledgements_that_are_lost_cost_a_resend_and_no_copy(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.drops_acknowledgements = True
    agent = await start(aggregator, answer_seconds=0.2)
    await agent.write(4)
    await aggregator.until(lambda: len(aggregator.seen.hellos) >= 3)
    aggregator.drops_acknowledgements = False
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert agent.metrics.value("opentrail_agent_resent_batches_total") >= 4


async def test_streams_cut_at_any_batch_lose_and_double_nothing(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.hang_up_after = [1, 2, 3, 1, 1, 5, 8, 2]
    agent = await start(aggregator)
    await agent.write(30)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert len(aggregator.seen.hellos) >= 9


@pytest.mark.slow
async def test_a_connection_that_reached_its_age_is_replaced_without_a_double(
    start: Start,
) -> None:
    options = {"grpc.max_connection_age_ms": 150, "grpc.max_connection_age_grace_ms": 100}
    async with FakeAggregator(options=options) as server:
        agent = await start(server)
        for _ in range(40):
            await agent.write(2)
            await asyncio.sleep(0.03)
        await agent.all_acknowledged()
        assert_all_arrived_once(server, agent)
        assert len(server.seen.hellos) >= 3


async def test_a_gap_is_mended_without_a_new_connection(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.refusals = [pb.Refusal(code=Code.GAP, sequence=1, expected=1)]
    agent = await start(aggregator)
    await agent.write(10)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert len(aggregator.seen.hellos) == 1


async def test_damage_on_the_way_is_sent_again(start: Start, aggregator: FakeAggregator) -> None:
    aggregator.refusals = [pb.Refusal(code=Code.BAD_CHECKSUM, sequence=1, expected=1)] * 2
    agent = await start(aggregator)
    await agent.write(3)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)


async def test_a_full_log_is_waited_for_while_heartbeats_go_on(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.refusals = [pb.Refusal(code=Code.FULL, message="log.max_bytes")] * 5
    agent = await start(aggregator, full_seconds=0.1, heartbeat_seconds=0.05)
    await agent.write(3)
    await aggregator.until(lambda: not aggregator.refusals)
    assert "log_full" in agent.metrics.problems()
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert agent.metrics.problems() == {}
    assert len(aggregator.seen.hellos) == 1
    assert len(aggregator.seen.heartbeats) >= 3


async def test_a_clone_of_the_spool_gets_numbers_of_its_own(
    start: Start, aggregator: FakeAggregator
) -> None:
    agent = await start(aggregator)
    await agent.write(2)
    await agent.all_acknowledged()
    epoch = agent.spool.standing.epoch
    aggregator.hold(epoch, 3, b"what the clone wrote")
    await agent.write(3)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert agent.spool.standing.epoch != epoch
    assert agent.metrics.value("opentrail_agent_epochs_total") == 1


async def test_a_restored_disk_of_the_agent_never_counts_other_batches_as_sent(
    start: Start, aggregator: FakeAggregator
) -> None:
    agent = await start(aggregator)
    await agent.write(2)
    await agent.all_acknowledged()
    # Before its disk was set back, this agent had sent three more.
    for sequence in (3, 4, 5):
        aggregator.hold(agent.spool.standing.epoch, sequence, b"before")
    await agent.close()
    again = await start(aggregator)
    await again.write(1)
    await again.all_acknowledged()
    assert aggregator.log == agent.sent + again.sent


async def test_a_restored_disk_of_the_aggregator_gets_again_what_is_still_here(
    start: Start, aggregator: FakeAggregator
) -> None:
    agent = await start(aggregator)
    await agent.write(6)
    await agent.all_acknowledged()
    aggregator.lose_behind(3)
    await agent.write(2)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert agent.metrics.value("opentrail_agent_resent_batches_total") >= 3


async def test_what_both_sides_lost_is_named_by_where_the_next_epoch_begins(
    start: Start, tmp_path: Path, aggregator: FakeAggregator
) -> None:
    agent = await start(aggregator)
    await agent.write(6)
    await agent.all_acknowledged()
    await agent.close()
    for path in (tmp_path / "spool" / "segments").iterdir():
        path.unlink()
    aggregator.lose_behind(4)
    again = await start(aggregator)
    await again.write(2)
    await again.all_acknowledged()
    assert aggregator.log == agent.sent[:4] + again.sent
    epoch, first, _ = aggregator.seen.batches[-2]
    assert (epoch, first) == (again.spool.standing.epoch, 3)
    assert epoch != aggregator.seen.batches[0][0]


async def test_unsent_batches_wait_for_their_own_log(
    start: Start, aggregator: FakeAggregator
) -> None:
    async with FakeAggregator() as gone:
        pass
    agent = await start(aggregator)
    await agent.write(1)
    await agent.all_acknowledged()
    await agent.close()
    alone = await start(gone)
    await alone.write(3)
    await alone.close()
    async with FakeAggregator("log-2") as other:
        moved = await start(other)
        await other.until(lambda: len(other.seen.hellos) >= 2)
        assert (other.log, other.seen.batches) == ([], [])
        assert "rehome" in moved.metrics.problems()["uplink"]
        other.follows = ["log-1"]
        await moved.all_acknowledged()
        # It follows the old log and says that it holds nothing: it gets all that is still here.
        assert other.log == agent.sent + alone.sent
    assert aggregator.log == agent.sent


async def test_with_nothing_unsent_another_log_is_welcome(
    start: Start, aggregator: FakeAggregator
) -> None:
    agent = await start(aggregator)
    await agent.write(4)
    await agent.all_acknowledged()
    await agent.close()
    async with FakeAggregator("log-2") as other:
        moved = await start(other)
        await other.until(lambda: len(other.seen.hellos) >= 2)
        await moved.write(2)
        await moved.all_acknowledged()
        assert other.log == moved.sent
        assert other.seen.batches[0][1] == 1


async def test_a_damaged_batch_is_reported_in_its_place(
    start: Start, aggregator: FakeAggregator, tmp_path: Path
) -> None:
    aggregator.is_silent = True
    agent = await start(aggregator)
    await agent.write(5)
    await agent.close()
    path = next((tmp_path / "spool" / "segments").glob("*.seg"))
    content = bytearray(path.read_bytes())
    content[content.index(agent.sent[2]) + 40] ^= 1
    path.write_bytes(content)
    aggregator.is_silent = False
    again = await start(aggregator)
    await again.all_acknowledged()
    assert aggregator.log[:2] + aggregator.log[3:] == agent.sent[:2] + agent.sent[3:]
    assert [item.reason for item in batch_refused(aggregator.log[2])] == ["spool_damage"]
    assert again.metrics.value("opentrail_agent_spool_damaged_total") == 1


async def test_an_aggregator_that_never_says_welcome_is_left(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.is_silent = True
    agent = await start(aggregator, welcome_seconds=0.2)
    await agent.write(1)
    await aggregator.until(lambda: len(aggregator.seen.hellos) >= 2)
    aggregator.is_silent = False
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)


async def test_the_next_address_is_tried_when_one_fails(
    start: Start, aggregator: FakeAggregator
) -> None:
    async with FakeAggregator() as gone:
        pass
    agent = await start(gone, aggregator)
    await agent.write(3)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)


@pytest.mark.parametrize("code", [Code.NOT_ALLOWED, Code.BAD_PROTOCOL, Code.WRONG_LOG])
async def test_a_refusal_at_the_door_is_told_and_tried_again(
    start: Start, aggregator: FakeAggregator, code: "pb.Refusal.Code.ValueType"
) -> None:
    aggregator.welcome_refusal = pb.Refusal(code=code, message="says the test")
    agent = await start(aggregator)
    await agent.write(1)
    await aggregator.until(lambda: len(aggregator.seen.hellos) >= 2)
    assert "says the test" in agent.metrics.problems()["uplink"]
    aggregator.welcome_refusal = None
    await agent.all_acknowledged()
    assert agent.metrics.problems() == {}


async def test_a_slow_aggregator_is_waited_for_and_not_hung_up_on(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.delay_seconds = 0.1
    agent = await start(aggregator, answer_seconds=0.3)
    await agent.write(15)
    await agent.all_acknowledged()
    assert_all_arrived_once(aggregator, agent)
    assert len(aggregator.seen.hellos) == 1


async def test_heartbeats_come_while_nothing_is_sent(
    start: Start, aggregator: FakeAggregator
) -> None:
    agent = await start(aggregator, heartbeat_seconds=0.1)
    await agent.write(2)
    await agent.all_acknowledged()
    await aggregator.until(lambda: len(aggregator.seen.heartbeats) >= 4)
    last = aggregator.seen.heartbeats[-1]
    assert (last.sequence, last.reported_at_ns) == (2, 123)
    assert (last.sources[0].name, last.sources[0].position) == ("file:/a", 7)
    assert last.figures["opentrail_agent_sent_batches_total"] == 2


async def test_an_import_ends_when_all_is_acknowledged_and_the_end_is_said(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.delay_seconds = 0.02
    aggregator.hang_up_after = [3]
    agent = await start(aggregator)
    await agent.write(10)
    agent.ended = True
    agent.shipper.finish()
    async with asyncio.timeout(5):
        await agent.running
    assert_all_arrived_once(aggregator, agent)
    assert aggregator.seen.heartbeats[-1].sources[0].ended
    assert (aggregator.seen.heartbeats[-1].sequence, aggregator.seen.ended) == (10, 1)


async def test_a_stop_does_not_wait_for_a_silent_aggregator(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.is_silent = True
    agent = await start(aggregator)
    await agent.write(3)
    await aggregator.until(lambda: len(aggregator.seen.hellos) >= 1)
    async with asyncio.timeout(4):
        await agent.close()


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    ca, certificate, key = (tmp_path / name for name in ("ca.crt", "agent.crt", "agent.key"))
    certificates = Certificates(ca, certificate, key)
    with pytest.raises(CertificateError, match=r"ca\.crt: No such file.*ship\.tls\.ca"):
        certificates.read()
    ca.write_text("not a certificate")
    with pytest.raises(CertificateError, match="not a PEM"):
        certificates.read()


@pytest.mark.parametrize("code", [Code.TOO_LARGE, Code.MALFORMED])
async def test_a_batch_that_is_never_taken_is_set_aside_and_the_others_go_on(
    start: Start, aggregator: FakeAggregator, tmp_path: Path, code: pb.Refusal.Code.ValueType
) -> None:
    async with FakeAggregator() as gone:
        pass
    full = await start(gone)
    await full.write(5)
    await full.close()
    bad = full.sent[1]
    aggregator.never_takes = lambda payload: code if payload == bad else None
    agent = await start(aggregator)
    await agent.all_acknowledged()
    marker = aggregator.log[1]
    assert aggregator.log == [full.sent[0], marker, *full.sent[2:]]
    (item,) = batch_refused(marker)
    assert (item.reason, item.length) == ("set_aside", len(bad))
    assert "1 events" in item.detail
    (kept,) = kept_aside(tmp_path / "spool")
    assert kept.path.read_bytes().partition(b"\n")[2] == bad
    assert Code.Name(code) in kept.told.reason
    assert agent.metrics.value("opentrail_agent_set_aside_total") == 1
    assert str(kept.path) in agent.metrics.problems()["set_aside"]
    # It counts as what the spool holds, and it is said until a person takes it away.
    assert agent.spool.aside.held_bytes == len(bad)
    await agent.close()
    aggregator.lose_behind(1)
    again = await start(aggregator)
    again.spool.aside.tell(again.metrics)
    assert "set_aside" in again.metrics.problems()
    await again.write(1)
    await again.all_acknowledged()
    assert aggregator.log[1] == marker, "sent again with other bytes"
    kept.path.unlink()
    again.spool.aside.tell(again.metrics)
    assert "set_aside" not in again.metrics.problems()


async def test_a_batch_above_what_the_welcome_allows_is_not_even_sent(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.batch_max_bytes = 1000
    agent = await start(aggregator)
    payload = seal_batch(os.urandom(2000).hex().encode() + b"\n", 1, [SourceRun(source="a")], [])
    await agent.spool.append(payload, 1, 0)
    await agent.write(2)
    await agent.all_acknowledged()
    assert [batch_refused(each) != [] for each in aggregator.log] == [True, False, False]
    assert payload not in [sent for _, _, sent in aggregator.seen.batches]


async def test_an_aggregator_that_takes_nothing_at_all_is_asked_ever_less_often(
    start: Start, aggregator: FakeAggregator
) -> None:
    aggregator.never_takes = lambda _: Code.MALFORMED
    agent = await start(aggregator, backoff_initial_seconds=0.2, backoff_max_seconds=5)
    await agent.write(1)
    await aggregator.until(lambda: len(aggregator.seen.batches) >= 3)
    before = len(aggregator.seen.batches)
    await asyncio.sleep(0.5)
    assert len(aggregator.seen.batches) - before < 10
    assert agent.metrics.value("opentrail_agent_set_aside_total") == 1
    assert "set aside before" in agent.metrics.problems()["uplink"]


async def test_another_batch_under_the_number_of_one_set_aside_is_sent_as_it_is(
    tmp_path: Path,
) -> None:
    first, second = Frame(Kind.BATCH, 7, 0, 1, 0, b"", b"one"), b"another"

    class Reader:
        def read_one(self, position: int) -> Frame:
            return first

    aside = Aside(tmp_path)
    assert aside.take(Reader(), 7, "because", 1)  # type: ignore[arg-type]
    assert not aside.take(Reader(), 7, "because", 2)  # type: ignore[arg-type]
    found = Aside(tmp_path).marker(first)
    assert found is not None
    assert found == aside.marker(first)
    assert aside.marker(dataclasses.replace(first, payload=second)) is None
