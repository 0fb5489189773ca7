"""What the aggregator needs of a log, whoever keeps it.

A log is a row of frames with positions 1, 2, 3 ... written by one process (ingest) and read by
many, each remembering its own place. It is an interface so that a Kafka topic can take the place
of the segments on disk: one submitted group is then one transaction, a position is an offset.

The life of a frame: submitted (nothing is promised), durable (its position is published; readers
may see it; its sender is told), released (all readers have passed it and its segment is gone).
No reader ever sees a frame that is not durable, so nothing derived can outlive its source.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from opentrail.errors import OpenTrailError
from opentrail.segment.frame import Damage, Frame, Kind

_JSON = msgspec.json.Decoder(dict[str, Any])


class LogError(OpenTrailError):
    """The log took nothing; what was submitted is not in it and may be submitted again."""


class LogFullError(LogError):
    """There is no room; there will be when readers have passed or the disk has space."""


class BatchMeta(msgspec.Struct, array_like=True, frozen=True):
    """What ingest writes beside a batch; msgpack, before the payload in the frame."""

    agent: str
    epoch: str
    """32 hexadecimal digits, made with the agent's spool."""
    sequence: int
    digest: str
    """BLAKE2b-128 of the payload, hexadecimal."""
    grant: str = ""
    """The agent pattern of the grant it came in under."""


_META_ENCODER = msgspec.msgpack.Encoder()
_META_DECODER = msgspec.msgpack.Decoder(BatchMeta)


@dataclass(frozen=True, slots=True)
class NewFrame:
    """A frame on its way into the log."""

    kind: Kind
    payload: bytes
    meta: bytes = b""
    events: int = 0
    refused: int = 0

    @property
    def size(self) -> int:
        return len(self.meta) + len(self.payload)


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a submitted group: a prefix of it is durable, the rest is not there."""

    positions: list[int]
    """Of the frames that are durable, in the order they were submitted."""
    error: LogError | None = None
    """Why the frames behind them are not in the log; None if all are durable."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One frame of the log as its readers see it."""

    position: int
    kind: Kind
    appended_at_ns: int
    agent: str
    epoch: str
    sequence: int
    digest: str
    grant: str
    events: int
    refused: int
    payload: bytes

    @property
    def is_batch(self) -> bool:
        return self.kind is Kind.BATCH

    def control(self) -> dict[str, Any]:
        """The JSON object of a control frame; it has a `type`."""
        return _JSON.decode(self.payload)


class LogWriter(Protocol):
    """The writing side: one per log."""

    @property
    def log_id(self) -> str:
        """128 random bits made with the log, hexadecimal."""
        ...

    @property
    def durable_position(self) -> int:
        """Everything up to here survives a power cut."""
        ...

    def submit(self, group: Sequence[NewFrame]) -> "Future[Committed]":
        """Take `group` for the log, in order; resolved once its fate is known, never failed."""
        ...


class LogReader(Protocol):
    """The reading side: any number of them, in any process."""

    @property
    def log_id(self) -> str: ...

    def durable_position(self) -> int:
        """The last position that may be read."""
        ...

    def first_position(self) -> int:
        """The lowest position still here."""
        ...

    def read(self, after: int, max_bytes: int) -> list[LogEntry | Damage]:
        """Entries behind position `after`, at least one if there is any, about `max_bytes`."""
        ...

    def received_through(self, position: int) -> tuple[int, int]:
        """Events and refusals received from the log's beginning through `position`."""
        ...


def batch_frame(meta: BatchMeta, payload: bytes, events: int, refused: int) -> NewFrame:
    """The frame that holds a batch as it came."""
    return NewFrame(Kind.BATCH, payload, _META_ENCODER.encode(meta), events, refused)


def control_frame(kind: str, body: dict[str, Any]) -> NewFrame:
    """The frame of a decision: JSON with its `type` first."""
    return NewFrame(Kind.CONTROL, msgspec.json.encode({"type": kind, **body}))


def entry_of(frame: Frame) -> LogEntry:
    """What a stored frame says."""
    meta = _META_DECODER.decode(frame.meta) if frame.kind is Kind.BATCH else _NO_META
    return LogEntry(
        frame.position,
        frame.kind,
        frame.appended_at_ns,
        meta.agent,
        meta.epoch,
        meta.sequence,
        meta.digest,
        meta.grant,
        frame.events,
        frame.refused,
        frame.payload,
    )


_NO_META = BatchMeta("", "", 0, "")
