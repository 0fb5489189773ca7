"""What an agent sees of ingest: acknowledged is on disk, and every other answer says what to do."""

import asyncio
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from opentrail.limits import BATCH_MAX_BYTES, MIB
from opentrail.settings import Bytes, Seconds
from opentrail.v1.ingest_pb2 import AgentMessage, Batch, Heartbeat, Refusal, Source
from opentrail.v1.ingest_pb2_grpc import IngestStub
from opentrail_aggregator.ingest.settings import Grant, GrpcSettings, IngestSettings
from opentrail_aggregator.ingest.stream import AgentStream
from opentrail_aggregator.wal.settings import DiskSettings, LogSettings

from .agents import HandAgent, batches, entries, payload, running


def controls(home: Path, kind: str) -> list[dict[str, object]]:
    found = [entry.control() for entry in entries(home) if not entry.is_batch]
    return [each for each in found if each["type"] == kind]


async def test_a_batch_is_acknowledged_when_it_is_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        welcome = await agent.hello()
        assert (welcome.protocol, welcome.acknowledged_through) == (1, 0)
        assert len(welcome.log_id) == 32
        await agent.send(1, payload())
        assert await agent.answer() == 1
        assert batches(tmp_path) == [("web-1", 1)]


async def test_the_bytes_in_the_log_are_the_bytes_that_came(tmp_path: Path) -> None:
    body = payload('{"a": 1}', events=7)
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        await agent.hello()
        await agent.send(1, body)
        assert await agent.answer() == 1
        (entry,) = [each for each in entries(tmp_path) if each.is_batch]
        assert (entry.payload, entry.events, entry.refused, entry.grant) == (body, 7, 0, "*")
        assert entry.epoch == agent.epoch.hex()


async def test_a_restart_knows_every_number(tmp_path: Path) -> None:
    epoch = b""
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        epoch = agent.epoch
        await agent.hello()
        for sequence in range(1, 21):
            await agent.send(sequence, payload(str(sequence)))
        await agent.acknowledged(20)
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        agent.epoch = epoch
        assert (await agent.hello(next_sequence=15)).acknowledged_through == 20
        await agent.send(15, payload("15"))
        assert await agent.answer() == 20, "the acknowledgement had been lost"
        await agent.send(16, payload("other"))
        assert (await agent.answer()).code == Refusal.FORK
        assert await agent.answer() is None, "and the stream has ended"
    assert batches(tmp_path) == [("web-1", n) for n in range(1, 21)]


async def test_a_gap_is_refused_and_the_expected_number_taken_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        await agent.hello()
        await agent.send(1, payload())
        assert await agent.answer() == 1
        for sequence in (3, 4, 5):
            await agent.send(sequence, payload())
        refusal = await agent.answer()
        assert (refusal.code, refusal.sequence, refusal.expected) == (Refusal.GAP, 3, 2)
        await agent.send(2, payload())
        assert await agent.answer() == 2
        assert ingest.metrics.value("opentrail_ingest_refusals_total", code="gap") == 1


async def test_a_full_log_refuses_batches_takes_heartbeats_and_says_since_when(
    tmp_path: Path,
) -> None:
    small = LogSettings(max_bytes=Bytes(4 * MIB), lock_wait=Seconds(1))
    async with (
        running(tmp_path, log=small) as ingest,
        HandAgent(tmp_path, ingest.port) as agent,
    ):
        await agent.hello()
        big = payload(os.urandom(1 << 20).hex())
        sequence = 0
        answer: object = 0
        while isinstance(answer, int):
            sequence += 1
            assert sequence < 10
            await agent.send(sequence, big)
            answer = await agent.answer()
        assert answer.code == Refusal.FULL  # type: ignore[attr-defined]
        assert "log.max_bytes" in answer.message  # type: ignore[attr-defined]
        await agent.heartbeat(Heartbeat(sequence=sequence, reported_at_ns=5))
        await agent.send(sequence, payload("small enough to fit"))
        await agent.acknowledged(sequence)
        assert controls(tmp_path, "heartbeat")
        await asyncio.sleep(0.6)
        assert [p for p in ingest.metrics.snapshot()["problems"] if p["key"] == "log.full"]


async def test_a_full_disk_refuses_until_there_is_room(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    more_than_there_is = DiskSettings(reserve=Bytes(free.f_bavail * free.f_frsize * 2))
    async with (
        running(tmp_path, disk=more_than_there_is) as ingest,
        HandAgent(tmp_path, ingest.port) as agent,
    ):
        await agent.hello()
        await agent.send(1, payload())
        refusal = await agent.answer()
        assert (refusal.code, refusal.expected) == (Refusal.FULL, 1)
        assert "disk.reserve" in refusal.message


async def test_the_newest_stream_of_an_epoch_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as old:
        await old.hello()
        await old.send(1, payload())
        assert await old.answer() == 1
        async with HandAgent(tmp_path, ingest.port) as new:
            new.epoch = old.epoch
            assert (await new.hello()).acknowledged_through == 1
            assert await old.answer() is None
            await new.send(2, payload())
            assert await new.answer() == 2


async def test_two_machines_that_keep_displacing_each_other_are_noticed(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as ingest,
        HandAgent(tmp_path, ingest.port) as first,
        HandAgent(tmp_path, ingest.port) as second,
    ):
        second.epoch = first.epoch
        await first.hello(host="here")
        for _ in range(3):
            await second.hello(host="there")
            first.connect()
            await first.hello(host="here")
            second.connect()
        (problem,) = ingest.metrics.snapshot()["problems"]
        assert problem["key"] == "ingest.cloned.web-1"


async def test_a_cloned_spool_is_told_to_begin_a_new_epoch(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        await agent.hello()
        await agent.send(1, payload("the original"))
        assert await agent.answer() == 1
        await agent.hang_up()
        agent.connect()
        await agent.hello()
        await agent.send(1, payload("the clone"))
        assert (await agent.answer()).code == Refusal.FORK
        problems = ingest.metrics.snapshot()["problems"]
        assert [p["key"] for p in problems] == ["ingest.fork.web-1"]


async def test_a_heartbeat_comes_behind_the_batches_sent_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        await agent.hello()
        await agent.send(1, payload())
        source = Source(name="file:/a", position=5, size=9, kind="follow", generation="g")
        await agent.heartbeat(Heartbeat(sequence=1, reported_at_ns=77, sources=[source]))
        await agent.send(2, payload())
        await agent.acknowledged(2)
        order = [e.kind.name if e.is_batch else str(e.control()["type"]) for e in entries(tmp_path)]
        assert order == ["settings", "BATCH", "heartbeat", "BATCH"]
        (beat,) = controls(tmp_path, "heartbeat")
        assert (beat["agent"], beat["sequence"], beat["reported_at_ns"]) == ("web-1", 1, 77)
        assert beat["backlog_bytes"] == 4


async def test_the_end_of_an_import_is_said_once_and_behind_its_last_batch(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        await agent.hello()
        ended = Source(
            name="file:/a", position=9, size=9, kind="import", generation="g", ended=True
        )
        for _ in range(3):
            await agent.heartbeat(Heartbeat(sequence=2, reported_at_ns=77, sources=[ended]))
        await agent.send(1, payload())
        await agent.send(2, payload())
        await agent.acknowledged(2)
        await agent.heartbeat(Heartbeat(sequence=2, reported_at_ns=78, sources=[ended]))
        await agent.send(3, payload())
        await agent.acknowledged(3)
        (end,) = controls(tmp_path, "import-ended")
        assert (end["source"], end["generation"], end["sequence"]) == ("file:/a", "g", 2)
        position = {str(e.control().get("type")): e.position for e in entries(tmp_path)
                    if not e.is_batch}["import-ended"]  # fmt: skip
        assert position > [e for e in entries(tmp_path) if e.is_batch][1].position


async def test_an_agent_without_a_grant_is_not_let_in(tmp_path: Path) -> None:
    strict = IngestSettings(grants=(Grant(agent="db-*"),))
    async with running(tmp_path, ingest=strict) as ingest:
        async with HandAgent(tmp_path, ingest.port) as agent:
            refusal = await agent.hello()
            assert refusal.code == Refusal.NOT_ALLOWED
            assert "ingest.grants" in refusal.message
        async with HandAgent(tmp_path, ingest.port, "db-7") as agent:
            assert (await agent.hello()).log_id


async def test_a_name_that_the_certificate_does_not_say_is_refused(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as ingest,
        HandAgent(tmp_path, ingest.port, "web-2", certificate="web-1") as agent,
    ):
        assert (await agent.hello()).code == Refusal.NOT_ALLOWED


async def test_an_agent_bound_to_another_log_is_sent_away(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        refusal = await agent.hello(bound_log_id="f" * 32)
        assert refusal.code == Refusal.WRONG_LOG
        assert "rehome" in refusal.message


HOSTILE = {
    "zero bytes": AgentMessage(batch=Batch(sequence=1)),
    "garbage": AgentMessage(batch=Batch(sequence=1, digest=bytes(16), payload=os.urandom(4000))),
    "number zero": AgentMessage(batch=Batch(sequence=0, payload=payload())),
    "an empty message": AgentMessage(),
    "too large": AgentMessage(batch=Batch(sequence=1, payload=bytes(BATCH_MAX_BYTES + 1))),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_messages_cost_their_sender_an_answer_and_others_nothing(
    tmp_path: Path, what: str
) -> None:
    async with (
        running(tmp_path) as ingest,
        HandAgent(tmp_path, ingest.port, "bad") as bad,
        HandAgent(tmp_path, ingest.port, "good") as good,
    ):
        await bad.hello()
        await good.hello()
        await bad.write(HOSTILE[what])
        assert (await bad.answer()).code != Refusal.UNSPECIFIED
        await good.send(1, payload())
        assert await good.answer() == 1
    assert batches(tmp_path) == [("good", 1)]


async def test_a_message_beyond_every_limit_ends_its_call_only(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port, "bad") as bad:
        await bad.hello()
        await bad.write(AgentMessage(batch=Batch(sequence=1, payload=bytes(20 * MIB))))
        with pytest.raises(grpc.aio.AioRpcError):
            await bad.answer()
        assert await bad.status() == grpc.StatusCode.RESOURCE_EXHAUSTED
        bad.connect()
        assert (await bad.hello()).log_id


async def test_a_batch_before_the_hello_and_silence_are_both_ended(tmp_path: Path) -> None:
    impatient = GrpcSettings(listen="127.0.0.1:0", hello=Seconds(0.2), idle=Seconds(0.5))
    async with running(tmp_path, grpc=impatient) as ingest:
        async with HandAgent(tmp_path, ingest.port) as agent:
            await agent.send(1, payload())
            assert (await agent.answer()).code == Refusal.BAD_PROTOCOL
        async with HandAgent(tmp_path, ingest.port) as agent:
            assert (await agent.answer()).code == Refusal.BAD_PROTOCOL, "no hello"
        async with HandAgent(tmp_path, ingest.port) as agent:
            await agent.hello()
            assert await agent.answer(5.0) is None, "idle"


async def test_nobody_without_a_certificate_of_the_authority_gets_a_word(tmp_path: Path) -> None:
    other = tmp_path / "other"
    async with running(tmp_path / "home") as ingest:
        for credentials in ("foreign", "none"):
            if credentials == "foreign":
                agent = HandAgent(other, ingest.port)
                with pytest.raises(grpc.aio.AioRpcError):
                    async with agent:
                        await agent.hello()
            else:
                channel = grpc.aio.insecure_channel(f"127.0.0.1:{ingest.port}")
                with pytest.raises(grpc.aio.AioRpcError):
                    await IngestStub(channel).Ship(iter(())).read()
                await channel.close()


async def test_the_window_bounds_what_one_agent_has_on_its_way(tmp_path: Path) -> None:
    narrow = IngestSettings(window=2)
    async with (
        running(tmp_path, ingest=narrow) as ingest,
        HandAgent(tmp_path, ingest.port) as agent,
    ):
        assert (await agent.hello()).window == 2
        for sequence in range(1, 31):
            await agent.send(sequence, payload(str(sequence)))
        await agent.acknowledged(30)
    assert batches(tmp_path) == [("web-1", n) for n in range(1, 31)]


async def test_a_stop_acknowledges_what_is_on_its_way_and_ends_quickly(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        await agent.hello()
        for sequence in range(1, 6):
            await agent.send(sequence, payload(str(sequence)))
        await agent.acknowledged(5)
        begin = asyncio.get_running_loop().time()
    # The stream was open all the time.
    assert asyncio.get_running_loop().time() - begin < 3


@pytest.mark.slow
async def test_two_hundred_agents_that_come_back_at_once_are_all_served(tmp_path: Path) -> None:
    count, rounds = 200, 2
    epochs = [os.urandom(16) for _ in range(count)]
    for turn in range(rounds):
        async with running(tmp_path) as ingest:

            async def ship(number: int, port: int = ingest.port, turn: int = turn) -> None:
                async with HandAgent(tmp_path, port, f"a-{number}", certificate="shared") as agent:
                    agent.name = "shared"
                    agent.epoch = epochs[number]
                    welcome = await agent.hello(next_sequence=turn + 1)
                    assert welcome.acknowledged_through == turn
                    await agent.send(turn + 1, payload(str(number)))
                    await agent.acknowledged(turn + 1, 60)

            async with asyncio.timeout(90):
                await asyncio.gather(*(ship(number) for number in range(count)))
    found = [(e.epoch, e.sequence) for e in entries(tmp_path) if e.is_batch]
    assert len(found) == len(set(found)) == count * rounds


async def test_what_is_sent_again_is_acknowledged_again_on_the_same_stream() -> None:
    """An agent counts an acknowledgement only up to what it has sent on this connection."""
    said: list[int] = []

    class Context:
        async def write(self, message: Any) -> None:
            said.append(message.acknowledge.through)

    nobody: Any = None
    stream = AgentStream(nobody, nobody, nobody, nobody, Context())
    for through in (5, 5, 6):
        stream.acknowledge(through)
        await stream._write_answers()
    await stream._write_answers()
    assert said == [5, 5, 6]
