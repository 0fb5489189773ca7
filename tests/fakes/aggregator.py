"""An aggregator that keeps what it acknowledged, and misbehaves as a test tells it to.

A real gRPC server on a real port. It follows the rules of the real one (only the next number, the
same digest for a number held), in memory, and has a script: faults that are taken one by one as
batches or connections come. `log` is what it acknowledged; a test compares it with what was sent.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from opentrail.batch import digest_of
from opentrail.v1 import ingest_pb2 as pb
from opentrail.v1 import ingest_pb2_grpc

Code = pb.Refusal.Code


@dataclass
class Seen:
    """Everything that an agent said."""

    hellos: list[pb.Hello] = field(default_factory=list)
    batches: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    """(epoch, sequence, payload) of every batch, repetitions included."""
    heartbeats: list[pb.Heartbeat] = field(default_factory=list)
    ended: int = 0
    """Streams whose agent closed its half in order."""


class FakeAggregator(ingest_pb2_grpc.IngestServicer):
    """Start it with `async with`."""

    def __init__(
        self, log_id: str = "log-1", port: int = 0, options: dict[str, int] | None = None
    ) -> None:
        self.log_id = log_id
        self.follows: list[str] = []
        self.log: list[bytes] = []
        """Payloads in the order of their acknowledgement, each once."""
        self.seen = Seen()
        self.port = port
        self.delay_seconds = 0.0
        self.drops_acknowledgements = False
        self.is_silent = False
        """Take everything, say nothing: not even a welcome."""
        self.refusals: list[pb.Refusal] = []
        """Taken one for each batch that comes."""
        self.batch_max_bytes = 8 << 20
        self.never_takes: Callable[[bytes], pb.Refusal.Code.ValueType | None] = lambda _: None
        """Payload -> why it is refused, however often it comes."""
        self.hang_up_after: list[int] = []
        """For each connection: end it after so many batches, without acknowledging the last."""
        self.welcome_refusal: pb.Refusal | None = None
        self.credentials: grpc.ServerCredentials | None = None
        self._held: dict[bytes, dict[int, bytes]] = defaultdict(dict)
        """Epoch -> number -> payload."""
        self._begins: dict[bytes, int] = {}
        self._changed = asyncio.Condition()
        self._options = options or {}

    async def __aenter__(self) -> "FakeAggregator":
        options = [
            ("grpc.max_receive_message_length", 16 << 20),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
            *self._options.items(),
        ]
        self._server = grpc.aio.server(options=options)
        ingest_pb2_grpc.add_IngestServicer_to_server(self, self._server)
        address = f"127.0.0.1:{self.port}"
        if self.credentials is not None:
            self.port = self._server.add_secure_port(address, self.credentials)
        else:
            self.port = self._server.add_insecure_port(address)
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def forget(self) -> None:
        """Lose everything, as a log whose disk was replaced."""
        self._held.clear()
        self._begins.clear()

    def lose_behind(self, sequence: int) -> None:
        """Lose the highest numbers of every epoch, as a log restored from a snapshot."""
        for held in self._held.values():
            for number in [number for number in held if number > sequence]:
                self.log.remove(held.pop(number))

    def hold(self, epoch: bytes, sequence: int, payload: bytes) -> None:
        """Have a batch already, as from a clone of the agent."""
        self._held[epoch][sequence] = payload

    async def until(self, holds: Callable[[], bool], seconds: float = 10) -> None:
        """Wait until a condition over what was seen holds."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(holds)

    # The service.

    async def Ship(self, request_iterator: object, context: Any) -> None:  # type: ignore[override]
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        hello = first.hello
        await self._note(lambda: self.seen.hellos.append(hello))
        if self.is_silent:
            await asyncio.Event().wait()
        if self.welcome_refusal is not None:
            await context.write(pb.AggregatorMessage(refusal=self.welcome_refusal))
            return
        held = self._held[hello.epoch]
        await context.write(
            pb.AggregatorMessage(
                welcome=pb.Welcome(
                    protocol=1,
                    log_id=self.log_id,
                    follows=self.follows,
                    acknowledged_through=max(held, default=0),
                    batch_max_bytes=self.batch_max_bytes,
                    window=8,
                )
            )
        )
        remaining = self.hang_up_after.pop(0) if self.hang_up_after else -1
        while True:
            message = await context.read()
            if message is grpc.aio.EOF:
                await self._note(self._count_end)
                return
            kind = message.WhichOneof("message")
            if kind == "heartbeat":
                beat = message.heartbeat
                await self._note(lambda beat=beat: self.seen.heartbeats.append(beat))  # type: ignore[misc]
                continue
            batch = message.batch
            await self._note(
                lambda batch=batch: self.seen.batches.append(  # type: ignore[misc]
                    (hello.epoch, batch.sequence, batch.payload)
                )
            )
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            remaining -= 1
            if remaining == 0:
                self._take(hello.epoch, batch)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the test cuts the stream")
            answer = self._answer(hello.epoch, batch)
            if answer is not None:
                await context.write(answer)
                if answer.refusal.code == Code.FORK:
                    return

    def _answer(self, epoch: bytes, batch: pb.Batch) -> pb.AggregatorMessage | None:
        # A new epoch begins with the first number that comes, even if that is refused once.
        self._begins.setdefault(epoch, batch.sequence)
        if self.refusals:
            return pb.AggregatorMessage(refusal=self.refusals.pop(0))
        if (code := self.never_takes(batch.payload)) is not None:
            return pb.AggregatorMessage(refusal=pb.Refusal(code=code, sequence=batch.sequence))
        refusal = self._take(epoch, batch)
        if refusal is not None:
            return pb.AggregatorMessage(refusal=refusal)
        if self.drops_acknowledgements:
            return None
        return pb.AggregatorMessage(acknowledge=pb.Acknowledge(through=max(self._held[epoch])))

    def _take(self, epoch: bytes, batch: pb.Batch) -> pb.Refusal | None:
        held = self._held[epoch]
        self._begins.setdefault(epoch, batch.sequence)
        expected = max(held, default=self._begins[epoch] - 1) + 1
        if digest_of(batch.payload) != batch.digest:
            return pb.Refusal(code=Code.BAD_CHECKSUM, sequence=batch.sequence, expected=expected)
        if batch.sequence in held:
            if held[batch.sequence] != batch.payload:
                return pb.Refusal(code=Code.FORK, sequence=batch.sequence)
            return None
        if batch.sequence != expected:
            return pb.Refusal(code=Code.GAP, sequence=batch.sequence, expected=expected)
        held[batch.sequence] = batch.payload
        self.log.append(batch.payload)
        return None

    def _count_end(self) -> None:
        self.seen.ended += 1

    async def _note(self, note: Callable[[], None]) -> None:
        async with self._changed:
            note()
            self._changed.notify_all()
