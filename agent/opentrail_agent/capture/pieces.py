"""What a stream of bytes is cut into before anything is decided about it.

Offsets count the bytes of the source's (uncompressed) content. All of the content that is not
white space or a container's own brackets and commas lies in exactly one piece.
"""

import hashlib
from dataclasses import dataclass

from opentrail.limits import REFUSED_HEAD_BYTES

_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")


@dataclass(frozen=True, slots=True)
class Block:
    """Many whole records at once, all of them known to be events with an eventID."""

    offset: int
    data: bytes
    """NDJSON: every line is one record and ends with a line feed."""
    count: int
    end: int


@dataclass(frozen=True, slots=True)
class Value:
    """One whole value; whether it is an event is still open."""

    offset: int
    data: bytes
    """Its bytes as the source has them."""
    end: int

    @property
    def line(self) -> bytes:
        """Its bytes on one line. A line break within a JSON value is always between tokens."""
        return self.data.translate(_TO_SPACES)


@dataclass(frozen=True, slots=True)
class Fragment:
    """Bytes that are no value, or one too large to be an event."""

    offset: int
    length: int
    head: bytes
    """The first bytes of it, at most REFUSED_HEAD_BYTES."""
    sha256: str
    reason: str
    detail: str = ""

    @property
    def end(self) -> int:
        return self.offset + self.length


Piece = Block | Value | Fragment


class FragmentInProgress:
    """A fragment of any length, in constant memory."""

    __slots__ = ("_hash", "_head", "_length", "_offset")

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._length = 0
        self._head = b""
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self._length += len(data)
        self._hash.update(data)
        if len(self._head) < REFUSED_HEAD_BYTES:
            self._head += data[: REFUSED_HEAD_BYTES - len(self._head)]

    def finish(self, reason: str, detail: str = "") -> Fragment:
        return Fragment(
            self._offset, self._length, self._head, self._hash.hexdigest(), reason, detail
        )


def fragment_of(offset: int, data: bytes, reason: str, detail: str = "") -> Fragment:
    """A fragment that is whole in memory."""
    progress = FragmentInProgress(offset)
    progress.add(data)
    return progress.finish(reason, detail)
