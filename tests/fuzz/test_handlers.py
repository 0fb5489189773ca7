"""The gRPC handlers under bytes from a hostile agent: none breaks one, and none gets into the log.

Messages go over the wire as bytes, so what is no protobuf comes too; gRPC itself ends such a call.
Any other call that ends with UNKNOWN is an exception that nobody meant.  Whatever was said, another
agent is served afterwards.
"""

import asyncio
import contextlib
import struct
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from opentrail.batch import digest_of
from opentrail.v1.ingest_pb2 import (
    AgentMessage,
    AggregatorMessage,
    Batch,
    ControlFrame,
    Heartbeat,
    Hello,
    Refusal,
    Source,
    SubmitRequest,
)
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.server import IngestServer
from opentrail_aggregator.ingest.socket_path import SocketAddress
from opentrail_aggregator.pki import DevelopmentPki
from tests.aggregator.ingest.agents import (
    CLOCK,
    HandAgent,
    batches,
    channel_credentials,
    payload,
    running,
)
from tests.fuzz.mutation import CORPUS, fuzz_awaiting

WORDS = [b"\x08\x01", b"\x12", b"\x1a\x10", b"web-1", b"bad", b"OTB1", b"\xff" * 9, b"{}", b"seal",
         b"opentrail/api", b'"type"', b"\xc3\x28", b"\x0a\x00", bytes(16)]  # fmt: skip
EPOCH = bytes(range(16))
ANSWER_SECONDS = 20.0
UNMEANT = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def conversation(*messages: AgentMessage) -> bytes:
    """Messages of one stream, each behind its length."""
    return b"".join(
        struct.pack("<H", len(data)) + data for data in (m.SerializeToString() for m in messages)
    )


def messages_of(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(found) < 20:
        length = int.from_bytes(data[at : at + 2], "little")
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return found


def hello(**changes: Any) -> AgentMessage:
    fields: dict[str, Any] = {
        "protocol": 1,
        "agent": "bad",
        "epoch": EPOCH,
        "next_sequence": 1,
        "host": "h",
    }
    return AgentMessage(hello=Hello(**(fields | changes)))


def batch(sequence: int, body: bytes) -> AgentMessage:
    return AgentMessage(batch=Batch(sequence=sequence, digest=digest_of(body), payload=body))


def beat() -> AgentMessage:
    source = Source(name="file:/a", position=5, size=9, generation="g", kind="follow")
    return AgentMessage(
        heartbeat=Heartbeat(sequence=1, reported_at_ns=5, sources=[source], figures={"cpu": 0.5})
    )


SHIP = {
    "whole": conversation(hello(), batch(1, payload()), beat(), batch(2, payload("1"))),
    "no-hello": conversation(batch(1, payload())),
    "two-hellos": conversation(hello(), hello()),
    "beats": conversation(hello(epoch=bytes([7] * 16)), beat(), beat()),
    "gap": conversation(hello(next_sequence=3), batch(3, payload("3")), batch(9, payload("9"))),
}
CONTROL = {
    "append-seal": b"A" + ControlFrame(type="seal", body=b'{"parts":[]}').SerializeToString(),
    "append-strange": b"A" + ControlFrame(type="settings", body=b"[]").SerializeToString(),
    "submit": b"S" + SubmitRequest(agent="opentrail/api", payload=payload()).SerializeToString(),
    "submit-foreign": b"S" + SubmitRequest(agent="web-1", payload=b"x").SerializeToString(),
}


@pytest.mark.parametrize(("name", "made"), [("ship", SHIP), ("control", CONTROL)])
def test_the_corpus_holds_what_is_said_here(name: str, made: dict[str, bytes]) -> None:
    for each, data in made.items():
        assert (CORPUS / name / each).read_bytes() == data


class Hostile:
    """One agent with a good certificate, who says anything."""

    def __init__(self, home: Path, ingest: IngestServer) -> None:
        credentials = DevelopmentPki(home / "pki", CLOCK).agent("bad")
        self._channel = grpc.aio.secure_channel(
            f"127.0.0.1:{ingest.port}",
            channel_credentials(credentials),
            options=[("grpc.use_local_subchannel_pool", 1)],
        )
        self._ship: Any = self._channel.stream_stream("/opentrail.v1.Ingest/Ship")

    async def close(self) -> None:
        await self._channel.close()

    async def say(self, data: bytes) -> str:
        call: Any = self._ship()
        # Beside the reading: a write to a call that the other side has ended may wait for ever.
        talking = asyncio.create_task(self._talk(call, messages_of(data)))
        words: list[str] = []
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while (answer := await call.read()) is not grpc.aio.EOF:
                    words.append(word_of(AggregatorMessage.FromString(answer)))
        except grpc.aio.AioRpcError as error:
            words.append(error.code().name)
        finally:
            talking.cancel()
            await asyncio.wait([talking])
        return " ".join(dict.fromkeys(words)) + ending(await call.code(), await call.details())

    async def _talk(self, call: Any, said: list[bytes]) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for message in said:
                await call.write(message)
            await call.done_writing()


def word_of(answer: AggregatorMessage) -> str:
    kind = str(answer.WhichOneof("message"))
    return Refusal.Code.Name(answer.refusal.code) if kind == "refusal" else kind


@pytest.mark.long
async def test_mutated_streams_break_nothing_and_others_are_served(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as ingest,
        HandAgent(tmp_path, ingest.port, "good") as good,
    ):
        hostile = Hostile(tmp_path, ingest)
        await good.hello()
        served = 0

        async def target(data: bytes) -> str:
            nonlocal served
            word = await hostile.say(data)
            served += 1
            await good.send(served, payload(str(served)))
            await good.acknowledged(served)
            return word

        seen = await fuzz_awaiting("ship", WORDS, target)
        await hostile.close()
        assert served > 50
        assert len(seen) >= 5, seen
        assert any("acknowledge" in word for word in seen), "no batch came through at all"
        names = {agent for agent, _ in batches(tmp_path)}
        assert names <= {"good", "bad"}
        assert [n for agent, n in batches(tmp_path) if agent == "good"] == [*range(1, served + 1)]


@pytest.mark.long
async def test_mutated_control_calls_break_nothing(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as ingest,
        HandAgent(tmp_path, ingest.port, "good") as good,
    ):
        await good.hello()
        address = SocketAddress(Home(tmp_path).run)
        channel = grpc.aio.insecure_channel(
            address.target, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        calls: list[Any] = [
            channel.unary_unary("/opentrail.v1.Control/Append"),
            channel.unary_unary("/opentrail.v1.Control/Submit"),
        ]

        async def target(data: bytes) -> str:
            call: Any = calls[data[:1] == b"S"](data[1:], timeout=ANSWER_SECONDS)
            try:
                await call
            except grpc.aio.AioRpcError as error:
                return ending(error.code(), error.details())
            return "taken"

        seen = await fuzz_awaiting("control", WORDS, target)
        await channel.close()
        address.close()
        assert "taken" in seen
        assert len(seen) >= 3, seen
        await good.send(1, payload())
        await good.acknowledged(1)
    allowed = {"good"} | {agent for agent, _ in batches(tmp_path) if agent.startswith("opentrail/")}
    assert {agent for agent, _ in batches(tmp_path)} <= allowed


def ending(code: grpc.StatusCode, details: str | None) -> str:
    """How a call ended; an exception that nobody meant is a finding."""
    if "DecodeError" in (details or ""):
        return " no protobuf"
    assert code not in UNMEANT, f"{code.name}: {details}"
    return f" {code.name}"
