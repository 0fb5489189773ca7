"""Asks ingest to write: the log has one writer, and this process is not it.

Ingest listens on a unix socket in the home for the other roles. What it answers is durable. When it
is away for a moment (being started again), the caller is told to try again; nothing is kept here.
"""

import grpc
import grpc.aio
import orjson

from opentrail.v1 import ingest_pb2, ingest_pb2_grpc
from opentrail_aggregator.api.answers import Unavailable
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.socket_path import SocketAddress

TIMEOUT_SECONDS = 10.0


class Inbox:
    """The way from inside into the log."""

    def __init__(self, home: Home, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._run = home.run
        self._timeout_seconds = timeout_seconds

    async def append(self, kind: str, body: dict[str, object]) -> int:
        """Write a control frame; its position, once it is durable."""
        frame = ingest_pb2.ControlFrame(type=kind, body=orjson.dumps(body))
        return await self._call("Append", frame)

    async def submit(self, agent: str, payload: bytes) -> int:
        """Write a batch of events from inside; its position, once it is durable."""
        request = ingest_pb2.SubmitRequest(agent=agent, payload=payload)
        return await self._call("Submit", request)

    async def _call(
        self, method: str, message: "ingest_pb2.ControlFrame | ingest_pb2.SubmitRequest"
    ) -> int:
        address = SocketAddress(self._run)
        try:
            # A channel for each call: they are rare, and one that is kept would remember how long
            # ingest was away and wait on after its return.
            async with grpc.aio.insecure_channel(address.target) as channel:
                stub = ingest_pb2_grpc.ControlStub(channel)
                call = getattr(stub, method)
                appended = await call(message, timeout=self._timeout_seconds, wait_for_ready=True)
                return int(appended.position)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Unavailable(
                    f"ingest did not answer within {self._timeout_seconds:g} s; try again, and "
                    "see /health/delivery"
                ) from None
            raise Unavailable(f"ingest did not take it: {error.details()}") from error
        finally:
            address.close()
