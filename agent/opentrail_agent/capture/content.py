"""The content of an open file: its bytes as they are, or what is in them if it is gzip.

Offsets count uncompressed bytes. Gzip is read forwards; asking for an earlier place begins again
at the front, asking for a later one reads up to it, in constant memory either way. A file may hold
several gzip members one after the other, and may still be growing.
"""

import hashlib
import os
import zlib
from typing import Any, Protocol

from .pieces import Fragment, FragmentInProgress

GZIP_MAGIC = b"\x1f\x8b"
_RAW_CHUNK_BYTES = 256 * 1024
_SKIP_BYTES = 1 << 20
_STEP_BYTES = 64
_STEP_MAX_BYTES = _STEP_BYTES * 1032  # what deflate can make of it at most
_GZIP_WINDOW = 31  # zlib: expect a gzip header


class Content(Protocol):
    """What a file holds, read by offset."""

    is_gzip: bool

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer, or none, where there are no more yet."""
        ...

    def is_complete(self) -> bool:
        """Whether what was read so far ends where the content ends for certain."""
        ...

    def raw_bytes(self, offset: int, length: int) -> int:
        """How many bytes of the file the `length` bytes just read at `offset` took up."""
        ...


class PlainContent:
    """The bytes of the file."""

    is_gzip = False

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def is_complete(self) -> bool:
        return False  # A plain file can always grow.

    def raw_bytes(self, offset: int, length: int) -> int:
        return length


class GzipContent:
    """What is in a gzip file."""

    is_gzip = True

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.damage = ""
        """What is wrong with the rest of the file; nothing more is read then."""
        self._begin()

    def _begin(self) -> None:
        self._inflater: Any = None  # zlib does not export its type
        self._raw = b""  # read, not yet inflated
        self._raw_offset = 0  # of the byte after _raw
        self._raw_counted = 0
        self._offset = 0  # uncompressed

    @property
    def raw_offset(self) -> int:
        """How much of the file itself has been used up."""
        return self._raw_offset - len(self._raw)

    def read(self, offset: int, length: int) -> bytes:
        if offset < self._offset:
            self._begin()
        while self._offset < offset:
            if not self._inflate(min(_SKIP_BYTES, offset - self._offset)):
                return b""
        return self._inflate(length)

    def is_complete(self) -> bool:
        return not self.damage and self._inflater is None and self._raw_offset > 0 and not self._raw

    def raw_bytes(self, offset: int, length: int) -> int:
        used, self._raw_counted = self.raw_offset - self._raw_counted, self.raw_offset
        return max(0, used)

    def damaged_rest(self, offset: int, why: str) -> Fragment:
        """All of the file that could not be used, as a fragment found at `offset`."""
        fragment = FragmentInProgress(offset)
        at = self.raw_offset
        while chunk := os.pread(self._fd, _RAW_CHUNK_BYTES, at):
            fragment.add(chunk)
            at += len(chunk)
        return fragment.finish("damaged", f"gzip, at byte {self.raw_offset} of the file: {why}")

    def _inflate(self, length: int) -> bytes:
        """At most `length` more bytes; none: the file ends here, for now or for ever."""
        while not self.damage:
            if not self._raw:
                self._raw = os.pread(self._fd, _RAW_CHUNK_BYTES, self._raw_offset)
                self._raw_offset += len(self._raw)
                if not self._raw:
                    return b""
            if self._inflater is None:
                self._raw = self._raw.lstrip(b"\0")  # padding between and after members
                if not self._raw:
                    continue
                self._inflater = zlib.decompressobj(_GZIP_WINDOW)
            before = self._inflater.copy()
            try:
                out = self._inflater.decompress(self._raw, length)
            except zlib.error:
                out = self._inflate_up_to_damage(before, length)
                self._offset += len(out)
                return out
            if self._inflater.eof:
                self._raw, self._inflater = self._inflater.unused_data, None
            else:
                self._raw = self._inflater.unconsumed_tail
            if out:
                self._offset += len(out)
                return bytes(out)
        return b""

    def _inflate_up_to_damage(self, inflater: Any, length: int) -> bytes:
        """What comes before the damage in _raw; a failed call keeps it to itself."""
        out = b""
        self._inflater = inflater
        while len(out) <= length - _STEP_MAX_BYTES:
            try:
                out += inflater.decompress(self._raw[:_STEP_BYTES])
            except zlib.error as error:
                self.damage = str(error)
                break
            self._raw = self._raw[_STEP_BYTES:]
        return out


def content_of(fd: int) -> Content:
    """The content of an open file, by its first bytes."""
    if os.pread(fd, len(GZIP_MAGIC), 0) == GZIP_MAGIC:
        return GzipContent(fd)
    return PlainContent(fd)


def digest_of_content(content: Content, length: int) -> str:
    """A short digest of the first `length` bytes, empty if there are fewer."""
    return digest_of_bytes(read_whole(content, 0, length), length)


def digest_of_bytes(data: bytes, length: int) -> str:
    """A short digest of `data`, empty if it is not `length` bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest() if len(data) == length else ""


def read_whole(content: Content, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, fewer only where the content ends."""
    data = content.read(offset, length)
    while len(data) < length and (more := content.read(offset + len(data), length - len(data))):
        data += more
    return data
