"""An agent written by hand, and an ingest to talk to, for tests of whole streams."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from opentrail.batch import SourceRun, digest_of, seal_batch
from opentrail.clock import SystemClock
from opentrail.settings import Bytes, Seconds
from opentrail.v1.ingest_pb2 import AgentMessage, Batch, Heartbeat, Hello
from opentrail_aggregator.certificates import Credentials
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.server import IngestServer
from opentrail_aggregator.ingest.settings import GrpcSettings, IngestSettings
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.pki import DevelopmentPki
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import LogEntry
from opentrail_aggregator.wal.settings import DiskSettings, LogSettings

CLOCK = SystemClock()


def settings(home: Path, **changes: Any) -> AggregatorSettings:
    """Settings of a small aggregator; `changes` replace whole sections."""
    sections: dict[str, Any] = {
        "grpc": GrpcSettings(listen="127.0.0.1:0", drain=Seconds(1.0)),
        "disk": DiskSettings(reserve=Bytes(0)),
        "log": LogSettings(lock_wait=Seconds(1.0)),
        "ingest": IngestSettings(heartbeat_min_interval=Seconds(0)),
    }
    return AggregatorSettings(home=home, **(sections | changes))


@contextlib.asynccontextmanager
async def running(home: Path, **changes: Any) -> AsyncIterator[IngestServer]:
    """An ingest that serves while the block runs."""
    DevelopmentPki(home / "pki", CLOCK).server(["127.0.0.1"])
    server = IngestServer(Home(home), settings(home, **changes), CLOCK, Metrics("ingest", CLOCK))
    stop = asyncio.Event()
    task = asyncio.create_task(server.run(stop))
    started = asyncio.create_task(server.started.wait())
    await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    if task.done():
        task.result()
    try:
        yield server
    finally:
        stop.set()
        await task


def payload(text: str = "{}", events: int = 1) -> bytes:
    """A small true batch."""
    lines = b"".join(text.encode() + b"\n" for _ in range(events))
    return seal_batch(lines, events, [SourceRun(source="test:", events=events)], [])


class HandAgent:
    """One stream, spoken by hand."""

    def __init__(
        self,
        home: Path,
        port: int,
        name: str = "web-1",
        certificate: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.name = name
        self.epoch = os.urandom(16)
        self._credentials = credentials or DevelopmentPki(home / "pki", CLOCK).agent(
            certificate or name
        )
        self._port = port
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None

    async def __aenter__(self) -> "HandAgent":
        self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()
        if self._channel is not None:
            await self._channel.close()

    def connect(self) -> None:
        """Open a stream; the channel is made once."""
        if self._channel is None:
            self._channel = grpc.aio.secure_channel(
                f"127.0.0.1:{self._port}",
                channel_credentials(self._credentials),
                options=[("grpc.use_local_subchannel_pool", 1)],
            )
        ship = self._channel.stream_stream(
            "/opentrail.v1.Ingest/Ship",
            request_serializer=AgentMessage.SerializeToString,
            response_deserializer=_answer,
        )
        self._call = ship()

    async def hang_up(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    async def hello(self, next_sequence: int = 1, **changes: Any) -> Any:
        """Say hello; the first answer."""
        fields: dict[str, Any] = {
            "protocol": 1, "agent": self.name, "epoch": self.epoch,
            "next_sequence": next_sequence, "host": self.name,
        } | changes  # fmt: skip
        await self._call.write(AgentMessage(hello=Hello(**fields)))
        return await self.answer()

    async def send(self, sequence: int, body: bytes, digest: bytes | None = None) -> None:
        batch = Batch(sequence=sequence, digest=digest or digest_of(body), payload=body)
        await self._call.write(AgentMessage(batch=batch))

    async def heartbeat(self, heartbeat: Heartbeat) -> None:
        await self._call.write(AgentMessage(heartbeat=heartbeat))

    async def write(self, message: AgentMessage) -> None:
        await self._call.write(message)

    async def answer(self, seconds: float = 10.0) -> Any:
        """The next welcome, acknowledgement (its number) or refusal; None at the end."""
        async with asyncio.timeout(seconds):
            message = await self._call.read()
        if message is grpc.aio.EOF:
            return None
        kind = message.WhichOneof("message")
        return message.acknowledge.through if kind == "acknowledge" else getattr(message, kind)

    async def acknowledged(self, through: int, seconds: float = 10.0) -> None:
        """Read until `through` is acknowledged; anything else is a failure."""
        while True:
            answer = await self.answer(seconds)
            assert isinstance(answer, int), answer
            if answer >= through:
                return

    async def status(self) -> grpc.StatusCode:
        """How the call ended."""
        code: grpc.StatusCode = await self._call.code()
        return code


def channel_credentials(credentials: Credentials) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        credentials.authority.read_bytes(),
        credentials.key.read_bytes(),
        credentials.certificate.read_bytes(),
    )


def entries(home: Path) -> list[LogEntry]:
    """Everything in the log."""
    found = DiskLogReader(Home(home).log).read(0, 1 << 26)
    assert all(isinstance(entry, LogEntry) for entry in found), found
    return [entry for entry in found if isinstance(entry, LogEntry)]


def batches(home: Path) -> list[tuple[str, int]]:
    """Agent and number of every batch in the log, in order."""
    return [(entry.agent, entry.sequence) for entry in entries(home) if entry.is_batch]


def _answer(data: bytes) -> Any:
    from opentrail.v1.ingest_pb2 import AggregatorMessage

    return AggregatorMessage.FromString(data)
