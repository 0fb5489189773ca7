"""Batches: the one set of bytes that lies in the spool, travels, and lies in the log.

    0      4        8         12           16            20            24             28
    +------+--------+---------+------------+-------------+-------------+--------------+---------+
    | OTB1 | events | refused | events raw | events zstd | refused raw | refused zstd | sources |
    +------+--------+---------+------------+-------------+-------------+--------------+---------+
    | 32: sources (JSON) | events (one zstd frame of NDJSON) | refused (one zstd frame of NDJSON) |

All integers are unsigned 32 bit, little-endian. *Events* are admitted records, one a line, each
followed by one line feed and holding none; their bytes are the source's own. *Refused* items say
what could not be admitted, from where and why, as JSON objects. *Sources* says which lines came
from where, in order, and carries the derived ids of records that have no eventID.

Ingest reads the fixed head only. Whoever reads further is protected by limits: sizes are stated in
the head, checked against `opentrail.limits`, and decompression stops where they say.
"""

import base64
import hashlib
import struct
import threading
from dataclasses import dataclass

import msgspec
import zstandard

from opentrail.errors import DamagedError
from opentrail.limits import (
    BATCH_MAX_BYTES,
    BATCH_MAX_EVENTS,
    BATCH_MAX_RAW_BYTES,
    BATCH_MAX_SOURCES_BYTES,
    REFUSED_HEAD_BYTES,
)

MAGIC = b"OTB1"
_HEAD = struct.Struct("<4s7I")
HEAD_BYTES = 32
assert _HEAD.size == HEAD_BYTES

ZSTD_LEVEL = 1
"""Measured on CloudTrail records: as small as level 3 (6.9 times) in half its time."""


class BatchError(DamagedError):
    """A payload is not a batch, or is larger than a batch may be."""


class SourceRun(msgspec.Struct, kw_only=True):
    """Consecutive events and refusals of one source within a batch."""

    source: str
    """Where they came from: `file:/var/log/audit.json`, `pipe:`, `api:channel`, ..."""
    account: str = ""
    """Stands in where a record names no account; empty if the source declares none."""
    region: str = ""
    events: int = 0
    refused: int = 0
    derived: dict[int, str] = {}
    """Ordinal within the batch -> derived eventID, for records without one."""
    begin: int = 0
    end: int = 0
    """Bytes [begin, end) of the source that the run covers."""
    generation: str = ""
    kind: str = "follow"
    """follow, import, pipe or api."""


class RefusedItem(msgspec.Struct, kw_only=True):
    """Something that cannot be a record, as it travels to the quarantine."""

    source: str
    offset: int
    length: int
    reason: str
    sha256: str
    head_b64: str
    """The first REFUSED_HEAD_BYTES of it."""
    account: str = ""
    region: str = ""
    detail: str = ""

    @property
    def head(self) -> bytes:
        return base64.b64decode(self.head_b64)


def refused_item(
    data: bytes,
    *,
    source: str,
    offset: int,
    reason: str,
    detail: str = "",
    length: int | None = None,
    sha256: str | None = None,
    account: str = "",
    region: str = "",
) -> RefusedItem:
    """A refusal of `data`; `length` and `sha256` are given where `data` is only its beginning."""
    return RefusedItem(
        source=source,
        offset=offset,
        length=len(data) if length is None else length,
        reason=reason,
        sha256=hashlib.sha256(data).hexdigest() if sha256 is None else sha256,
        head_b64=base64.b64encode(data[:REFUSED_HEAD_BYTES]).decode(),
        account=account,
        region=region,
        detail=detail,
    )


@dataclass(frozen=True, slots=True)
class BatchHead:
    """The fixed head: counts and sizes, no parsing."""

    events: int
    refused: int
    events_raw_bytes: int
    events_zstd_bytes: int
    refused_raw_bytes: int
    refused_zstd_bytes: int
    sources_bytes: int

    @classmethod
    def parse(cls, payload: bytes) -> "BatchHead":
        """The head of `payload`, with every size checked; BatchError says what is wrong."""
        if len(payload) > BATCH_MAX_BYTES:
            raise BatchError(f"a batch of {len(payload)} bytes, limit {BATCH_MAX_BYTES}")
        if len(payload) < HEAD_BYTES or payload[:4] != MAGIC:
            raise BatchError("a payload does not begin as a batch does (OTB1)")
        head = cls(*_HEAD.unpack_from(payload)[1:])
        body = head.sources_bytes + head.events_zstd_bytes + head.refused_zstd_bytes
        if body + HEAD_BYTES != len(payload):
            raise BatchError(f"a batch states {body + HEAD_BYTES} bytes and has {len(payload)}")
        if head.events > BATCH_MAX_EVENTS or head.refused > BATCH_MAX_EVENTS:
            raise BatchError(
                f"a batch of {head.events} events and {head.refused} refusals, "
                f"limit {BATCH_MAX_EVENTS} each"
            )
        if max(head.events_raw_bytes, head.refused_raw_bytes) > BATCH_MAX_RAW_BYTES:
            raise BatchError(
                f"a batch of {head.events_raw_bytes} + {head.refused_raw_bytes} bytes before "
                f"compression, limit {BATCH_MAX_RAW_BYTES} each"
            )
        if head.sources_bytes > BATCH_MAX_SOURCES_BYTES:
            raise BatchError(
                f"sources of {head.sources_bytes} bytes, limit {BATCH_MAX_SOURCES_BYTES}"
            )
        return head


_sources_decoder = msgspec.json.Decoder(list[SourceRun])
_refused_decoder = msgspec.json.Decoder(RefusedItem)
_encoder = msgspec.json.Encoder()
# What msgspec raises of JSON from outside; what is no UTF-8, and nesting, have errors of their own.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _OfThread(threading.local):
    """A compressor is dear to set up and serves one thread at a time: each keeps its own."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}


_of_thread = _OfThread()


def digest_of(payload: bytes) -> bytes:
    """What tells a batch sent again from another batch under the same number."""
    return hashlib.blake2b(payload, digest_size=16).digest()


def seal_batch(
    events: bytes,
    event_count: int,
    sources: list[SourceRun],
    refused: list[RefusedItem],
    *,
    level: int = ZSTD_LEVEL,
) -> bytes:
    """One batch of `events` (NDJSON) and refusals; raises BatchError beyond a limit."""
    refused_raw = b"".join(_encoder.encode(item) + b"\n" for item in refused)
    sources_json = _encoder.encode(sources)
    events_zstd = _compress(events, level)
    refused_zstd = _compress(refused_raw, level)
    payload = b"".join(
        (
            _HEAD.pack(
                MAGIC,
                event_count,
                len(refused),
                len(events),
                len(events_zstd),
                len(refused_raw),
                len(refused_zstd),
                len(sources_json),
            ),
            sources_json,
            events_zstd,
            refused_zstd,
        )
    )
    BatchHead.parse(payload)
    return payload


def batch_sources(payload: bytes) -> list[SourceRun]:
    """Which lines came from where."""
    head = BatchHead.parse(payload)
    try:
        return _sources_decoder.decode(payload[HEAD_BYTES : HEAD_BYTES + head.sources_bytes])
    except _UNREADABLE as error:
        raise BatchError(f"the sources of a batch cannot be read: {error}") from error


def batch_events(payload: bytes) -> bytes:
    """The admitted records as NDJSON."""
    head = BatchHead.parse(payload)
    begin = HEAD_BYTES + head.sources_bytes
    return _decompress(payload[begin : begin + head.events_zstd_bytes], head.events_raw_bytes)


def batch_refused(payload: bytes) -> list[RefusedItem]:
    """What could not be admitted."""
    head = BatchHead.parse(payload)
    begin = HEAD_BYTES + head.sources_bytes + head.events_zstd_bytes
    raw = _decompress(payload[begin : begin + head.refused_zstd_bytes], head.refused_raw_bytes)
    try:
        items = [_refused_decoder.decode(line) for line in raw.splitlines()]
    except _UNREADABLE as error:
        raise BatchError(f"the refusals of a batch cannot be read: {error}") from error
    if len(items) != head.refused:
        raise BatchError(f"a batch states {head.refused} refusals and has {len(items)}")
    return items


def _compress(raw: bytes, level: int) -> bytes:
    if not raw:
        return b""
    compressors = _of_thread.compressors
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level, write_checksum=True)
    return compressors[level].compress(raw)


def _decompress(data: bytes, raw_bytes: int) -> bytes:
    """Decompress one zstd frame that states and has exactly `raw_bytes`."""
    if not data and not raw_bytes:
        return b""
    try:
        stated = zstandard.frame_content_size(data)
        if stated != raw_bytes:
            raise BatchError(f"a zstd frame states {stated} bytes, its batch {raw_bytes}")
        raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=raw_bytes)
    except zstandard.ZstdError as error:
        raise BatchError(f"a batch cannot be decompressed: {error}") from error
    if len(raw) != raw_bytes:
        raise BatchError(f"a batch states {raw_bytes} bytes and holds {len(raw)}")
    return raw
