"""The object itself: one gzip member around {"Records":[...]}, written while it is made.

    {"Records":[ record , record ... ]}      records byte for byte, one comma between them

Lines come as NDJSON: each ends in a line feed and holds none, so putting a comma for each line feed
is all there is to do. One member only: readers of AWS take the first and refuse or lose the rest.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from isal import isal_zlib

from opentrail.errors import DamagedError
from opentrail.files import AppendFile

HEAD = b'{"Records":['
TAIL = b"]}"
FRAME_BYTES = len(HEAD) + len(TAIL) - 1
"""What an object has beyond its lines with their line feeds (the last has no comma)."""
OBJECT_MAX_BYTES = 50_000_000
"""Uncompressed. CloudTrail ends its files at 50 MB."""

_WRITE_BYTES = 1 << 20
_INFLATE_ERROR: Any = isal_zlib.error


@dataclass(frozen=True, slots=True)
class Member:
    """What was written."""

    sha256: str
    """Of the uncompressed bytes."""
    bytes: int
    """Uncompressed."""
    stored_bytes: int
    """The size of the file."""


class NotOneMemberError(DamagedError):
    """Stored bytes are not exactly one whole gzip member of an allowed size."""


def read_member(stored: bytes, limit: int = OBJECT_MAX_BYTES) -> bytes:
    """The content of one whole gzip member, nothing before or behind it."""
    inflate: Any = isal_zlib.decompressobj(31)
    try:
        data: bytes = inflate.decompress(stored, limit + 1)
    except _INFLATE_ERROR as error:
        raise NotOneMemberError(f"no whole gzip member ({error})") from error
    if len(data) > limit:
        raise NotOneMemberError(f"more than {limit} bytes uncompressed")
    if not inflate.eof:
        raise NotOneMemberError(f"the gzip member ends too early, after {len(stored)} bytes")
    if inflate.unused_data:
        raise NotOneMemberError(f"{len(inflate.unused_data)} bytes behind the gzip member")
    return data


class MemberWriter:
    """Compresses into `file`; nothing is durable until its owner syncs it."""

    def __init__(self, file: AppendFile, level: int) -> None:
        self._file = file
        self._deflate = isal_zlib.compressobj(level, isal_zlib.DEFLATED, 31)
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def write(self, data: bytes) -> None:
        """Append uncompressed bytes."""
        self._hash.update(data)
        self._bytes += len(data)
        self._put(self._deflate.compress(data))

    def finish(self) -> Member:
        """End the member; the file is complete but not synced."""
        self._put(self._deflate.flush())
        self._flush()
        return Member(self._hash.hexdigest(), self._bytes, self._file.size)

    def _put(self, compressed: bytes) -> None:
        self._pending.append(compressed)
        self._pending_bytes += len(compressed)
        if self._pending_bytes >= _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._file.write(self._pending)
        self._pending = []
        self._pending_bytes = 0


class RecordsWriter:
    """Writes lines as one object of records."""

    def __init__(self, file: AppendFile, level: int) -> None:
        self._member = MemberWriter(file, level)
        self._open = HEAD

    def write_lines(self, lines: bytes) -> None:
        """Append records; `lines` is not empty, ends in a line feed and each line is one record."""
        assert lines.endswith(b"\n")
        self._member.write(self._open)
        self._open = b","
        self._member.write(lines[:-1].replace(b"\n", b","))

    def finish(self) -> Member:
        """End the object."""
        if self._open is HEAD:
            self._member.write(HEAD)
        self._member.write(TAIL)
        return self._member.finish()
