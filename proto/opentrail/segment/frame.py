"""Frames: how one opaque payload is laid down in a segment file.

    0      4       8       12     13       14     16         24             32      36       40
    +------+-------+-------+------+--------+------+----------+--------------+-------+--------+
    | crc  | length| meta  | kind | version| zero | position | appended at  | events| refused|
    +------+-------+-------+------+--------+------+----------+--------------+-------+--------+
    | synced (40..44) | meta bytes | payload bytes ... length bytes in all after the header

Integers are little-endian and unsigned but for `appended at` (nanoseconds, signed). The checksum is
CRC-32 over everything behind itself. Kind 0 is invalid on purpose: blocks of zeros, which a crash
can leave, never read as a frame.

`synced` is how many bytes of this segment were known to be durable when the frame was made. It
tells a torn tail from later damage: if a valid frame says that the bytes of a hole had been
synced, the hole is damage to something that was acknowledged; if no frame says so, the hole and
all behind it were never acknowledged, and cutting there loses nothing.

This module does no I/O and decides nothing about files.
"""

import enum
import re
import struct
import zlib
from dataclasses import dataclass

from opentrail.errors import LimitError, NewerFormatError
from opentrail.limits import FRAME_MAX_BYTES

HEADER = struct.Struct("<IIIBBHQqIII")
HEADER_BYTES = 44
assert HEADER.size == HEADER_BYTES

VERSION = 1


class Kind(enum.IntEnum):
    """What a frame's payload is."""

    BATCH = 1
    CONTROL = 2
    VERDICT = 3
    ITEM = 4
    HEAD = 254
    FOOTER = 255


_KINDS = frozenset(int(kind) for kind in Kind)
_LOOKS_LIKE_A_FRAME = re.compile(b"[\x01\x02\x03\x04\xfe\xff]\x01\x00\x00", re.DOTALL)
_KIND_OFFSET = 12


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was read."""

    kind: Kind
    position: int
    appended_at_ns: int
    events: int
    refused: int
    meta: bytes
    payload: bytes


RELEASED = "released"
"""The reason of a Damage that is none: these positions were dropped from the store."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Positions that cannot be read, and why; the frames around them are intact."""

    first: int
    last: int
    reason: str
    path: str
    offset: int


class FrameError(Exception):
    """The bytes at an offset are not a whole valid frame; `torn` if the file just ends there."""

    def __init__(self, reason: str, *, torn: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.torn = torn


def encode_frame(
    kind: Kind,
    position: int,
    payload: bytes,
    *,
    meta: bytes = b"",
    events: int = 0,
    refused: int = 0,
    appended_at_ns: int = 0,
    synced: int = 0,
) -> list[bytes]:
    """The buffers of one frame, to be written one after the other."""
    length = len(meta) + len(payload)
    if length > FRAME_MAX_BYTES:
        raise LimitError(
            f"frame {position}: {length} bytes are more than FRAME_MAX_BYTES {FRAME_MAX_BYTES}"
        )
    header = HEADER.pack(
        0, length, len(meta), kind, VERSION, 0, position, appended_at_ns, events, refused, synced
    )
    crc = zlib.crc32(payload, zlib.crc32(meta, zlib.crc32(header[4:])))
    return [crc.to_bytes(4, "little") + header[4:], meta, payload]


def decode_frame(data: bytes | memoryview, offset: int) -> tuple[Frame, int, int]:
    """The frame at `offset`, the offset behind it, and its `synced`.

    Raises FrameError if there is none, NewerFormatError if a later version wrote it.
    """
    if len(data) - offset < HEADER_BYTES:
        raise FrameError("the file ends inside a frame header", torn=True)
    fields = HEADER.unpack_from(data, offset)
    crc, length, meta_length, kind, version, zero, position = fields[:7]
    appended_at_ns, events, refused, synced = fields[7:]
    if length > FRAME_MAX_BYTES or meta_length > length or kind not in _KINDS or zero:
        raise FrameError("a frame header is not one", torn=False)
    end = offset + HEADER_BYTES + length
    if end > len(data):
        raise FrameError("the file ends inside a frame", torn=True)
    view = memoryview(data)
    if zlib.crc32(view[offset + 4 : end]) != crc:
        raise FrameError("a frame's checksum is wrong", torn=False)
    if version > VERSION:
        raise NewerFormatError(
            f"frame {position} has format version {version}, this program reads up to {VERSION}; "
            "use the version of OpenTrail that wrote it"
        )
    body = offset + HEADER_BYTES
    frame = Frame(
        Kind(kind),
        position,
        appended_at_ns,
        events,
        refused,
        bytes(view[body : body + meta_length]),
        bytes(view[body + meta_length : end]),
    )
    return frame, end, synced


def frame_length(data: bytes | memoryview, offset: int) -> int | None:
    """Bytes of the frame at `offset` by its unchecked header, which counts; None if unusable."""
    if len(data) - offset < HEADER_BYTES:
        return None
    _, length, meta_length, kind, _, zero, *_ = HEADER.unpack_from(data, offset)
    if length > FRAME_MAX_BYTES or meta_length > length or kind not in _KINDS or zero:
        return None
    return HEADER_BYTES + int(length)


def next_valid(data: bytes, offset: int) -> int | None:
    """The lowest offset from `offset` on at which a whole valid frame begins."""
    for match in _LOOKS_LIKE_A_FRAME.finditer(data, offset + _KIND_OFFSET):
        start = match.start() - _KIND_OFFSET
        try:
            decode_frame(data, start)
        except FrameError:
            continue
        return start
    return None
