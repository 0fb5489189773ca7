"""For the other roles: put a decision or a batch into the log, and know that it is durable.

Calls wait for an ingest that is just restarting, up to their deadline. When they return, the frame
is on disk; when they raise, it may be or not, unless the error says that it was refused.
"""

from pathlib import Path
from typing import Any, Protocol

import grpc
import msgspec

from opentrail.clock import Clock, SystemClock
from opentrail.errors import OpenTrailError
from opentrail.limits import BATCH_MAX_BYTES, MIB
from opentrail.v1.ingest_pb2 import ControlFrame, SubmitRequest
from opentrail.v1.ingest_pb2_grpc import ControlStub
from opentrail_aggregator.ingest.socket_path import SocketAddress

DEADLINE_SECONDS = 10.0
_RETRY_SECONDS = 0.1
_WORTH_TRYING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_OPTIONS = [
    ("grpc.max_send_message_length", BATCH_MAX_BYTES + MIB),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A socket in a folder is no host to be looked up or called through a proxy.
    ("grpc.enable_http_proxy", 0),
    # Channels of one process would share a connection, also one whose socket is gone.
    ("grpc.use_local_subchannel_pool", 1),
]


class ControlError(OpenTrailError):
    """Ingest did not say that it is durable."""


class NoRoomError(ControlError):
    """The log or its disk is full; nothing was written."""


class _HasRun(Protocol):
    @property
    def run(self) -> Path: ...


class ControlClient:
    """A connection to the ingest of one home; safe for several threads."""

    def __init__(self, home: _HasRun, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._run_directory = home.run
        self._address: SocketAddress | None = None
        self._channel: grpc.Channel | None = None

    def append(
        self, kind: str, body: dict[str, Any], deadline_seconds: float = DEADLINE_SECONDS
    ) -> int:
        """Write a control frame; its position."""
        frame = ControlFrame(type=kind, body=msgspec.json.encode(body))
        return self._call("Append", frame, deadline_seconds)

    def submit(self, agent: str, payload: bytes, deadline_seconds: float = DEADLINE_SECONDS) -> int:
        """Write a batch in the name of `agent` (opentrail/NAME); its position."""
        request = SubmitRequest(agent=agent, payload=payload)
        return self._call("Submit", request, deadline_seconds)

    def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._address is not None:
            self._address.close()
            self._address = None

    def _call(self, method: str, request: Any, deadline_seconds: float) -> int:
        until = self._clock.monotonic() + deadline_seconds
        while True:
            left = until - self._clock.monotonic()
            try:
                stub = ControlStub(self._connected())
                answer = getattr(stub, method)(request, timeout=max(0.05, left))
                return int(answer.position)
            except FileNotFoundError:
                problem = f"{self._run_directory} does not exist"
            except grpc.RpcError as error:
                code, problem = error.code(), str(error.details())
                if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise NoRoomError(problem) from error
                if code not in _WORTH_TRYING:
                    raise ControlError(
                        f"ingest refused {method}: {code.name}: {problem}"
                    ) from error
            if self._clock.monotonic() + _RETRY_SECONDS >= until:
                raise ControlError(
                    f"ingest did not answer {method} within {deadline_seconds:g} s ({problem}); is "
                    "the aggregator running? see `opentrail status`"
                )
            self._clock.pause(_RETRY_SECONDS)

    def _connected(self) -> grpc.Channel:
        if self._channel is None:
            self._address = SocketAddress(self._run_directory)
            self._channel = grpc.insecure_channel(self._address.target, options=_OPTIONS)
        return self._channel


def append_control(
    home: _HasRun, kind: str, body: dict[str, Any], deadline_seconds: float = DEADLINE_SECONDS
) -> int:
    """Write one control frame; its position. For many, keep a ControlClient."""
    client = ControlClient(home)
    try:
        return client.append(kind, body, deadline_seconds)
    finally:
        client.close()


def submit(
    home: _HasRun, agent: str, payload: bytes, deadline_seconds: float = DEADLINE_SECONDS
) -> int:
    """Write one batch; its position. For many, keep a ControlClient."""
    client = ControlClient(home)
    try:
        return client.submit(agent, payload, deadline_seconds)
    finally:
        client.close()
