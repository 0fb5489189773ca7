"""The records of one event day: their bytes, in compressed blocks, at the end of which more come.

    block:  crc32 u32 | zstd length u32 | raw length u32 | zstd frame
    raw:    count u32 | count x end u32 | entries
    entry:  time i64 | position u64 | 3 x u16 | account | region | derived id | record

The lengths are those of account, region and derived id. Integers are little-endian; `end` is where
an entry ends, counted from the first entry; the checksum covers everything behind it in the block.
A record's place is `offset of its block << 16 | ordinal`.

A block is durable before the commit that mentions it. What lies behind the last mentioned block
after a crash is cut off by the next writer; a reader never looks there.
"""

import os
import struct
import weakref
import zlib
from collections.abc import Iterable
from pathlib import Path

import zstandard

from opentrail.errors import DamagedError
from opentrail.files import DISK, AppendFile, Files
from opentrail_aggregator.index.document import Event

BLOCK_RAW_BYTES = 64 * 1024
"""A block is closed when it has this much: a page of fifty scattered events reads fifty of them."""
BLOCK_MAX_ENTRIES = 0xFFFF
BLOCK_MAX_BYTES = 8 << 20
_LEVEL = 1
_HEAD = struct.Struct("<III")
_ENTRY = struct.Struct("<qQHHH")
NAME = "records"


def place(offset: int, ordinal: int) -> int:
    """The number under which the index remembers where a record lies."""
    return offset << 16 | ordinal


def block_offset(location: int) -> int:
    return location >> 16


def pack_entry(event: Event) -> bytes:
    account, region = event.account.encode(), event.region.encode()
    derived = event.derived_id.encode("utf-8", "replace")
    head = _ENTRY.pack(event.time_s, event.position, len(account), len(region), len(derived))
    return b"".join((head, account, region, derived, event.record))


def unpack_entry(entry: bytes) -> Event:
    time_s, position, *lengths = _ENTRY.unpack_from(entry)
    at = _ENTRY.size
    texts: list[str] = []
    for length in lengths:
        texts.append(entry[at : at + length].decode())
        at += length
    account, region, derived = texts
    return Event(entry[at:], derived, time_s, account, region, position)


def pack_block(entries: list[bytes], compressor: zstandard.ZstdCompressor) -> bytes:
    ends, end = [], 0
    for entry in entries:
        end += len(entry)
        ends.append(end)
    raw = b"".join((struct.pack(f"<{len(ends) + 1}I", len(ends), *ends), *entries))
    packed = compressor.compress(raw)
    body = _HEAD.pack(0, len(packed), len(raw))[4:] + packed
    return zlib.crc32(body).to_bytes(4, "little") + body


class RecordsFile:
    """The writing side of one day's records."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self.path = directory / NAME
        self._files = files
        self._file: AppendFile = files.open_append(self.path)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._unsynced = False

    def cut_behind(self, last_location: int | None) -> None:
        """Forget every block behind the one that holds `last_location`; all if that is None."""
        end = 0
        if last_location is not None:
            offset = block_offset(last_location)
            head = self._files.read(self.path, offset, _HEAD.size)
            if len(head) < _HEAD.size:
                raise DamagedError(
                    f"{self.path}: ends at byte {self._file.size}, the index mentions a record in "
                    f"a block at byte {offset}; remove this day's folder and run index rebuild"
                )
            end = offset + _HEAD.size + _HEAD.unpack(head)[1]
        if self._file.size > end:
            self._file.truncate(end)

    def append(self, entries: list[bytes]) -> int:
        """Add one block; its offset."""
        offset = self._file.size
        self._file.write([pack_block(entries, self._compressor)])
        self._unsynced = True
        return offset

    def sync(self) -> None:
        if self._unsynced:
            self._file.datasync()
            self._unsynced = False

    def close(self) -> None:
        self._file.close()


class RecordsReader:
    """The reading side: stays usable after the file's name is gone."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        # Not closed by hand: another thread may be reading when a day is let go.
        self._close = weakref.finalize(self, os.close, self._fd)

    def read(self, locations: Iterable[int]) -> list[Event]:
        """The events at `locations`, in that order; each block is read once."""
        decompressor = zstandard.ZstdDecompressor()  # One for each call: they are not thread-safe.
        blocks: dict[int, bytes] = {}
        found: list[Event] = []
        for location in locations:
            offset = block_offset(location)
            if offset not in blocks:
                blocks[offset] = self.block(offset, decompressor)
            found.append(entry_of(blocks[offset], location & 0xFFFF))
        return found

    def block(self, offset: int, decompressor: zstandard.ZstdDecompressor) -> bytes:
        """The raw bytes of the block at `offset`."""
        # One read takes most blocks whole, head and all.
        data = os.pread(self._fd, BLOCK_RAW_BYTES // 2, offset)
        if len(data) < _HEAD.size:
            raise DamagedError(f"{self.path}: no block at byte {offset}; run index rebuild")
        checksum, packed, raw = _HEAD.unpack_from(data)
        if max(packed, raw) > BLOCK_MAX_BYTES:
            raise DamagedError(f"{self.path}: the block at byte {offset} is no block")
        missing = _HEAD.size + packed - len(data)
        if missing > 0:
            data += os.pread(self._fd, missing, offset + len(data))
        body = memoryview(data)[4 : _HEAD.size + packed]
        if zlib.crc32(body) != checksum:
            raise DamagedError(
                f"{self.path}: the block at byte {offset} is damaged (checksum); run index rebuild"
            )
        return decompressor.decompress(body[8:], max_output_size=raw)

    def close(self) -> None:
        self._close()


def entry_of(raw: bytes, ordinal: int) -> Event:
    """One entry of a block."""
    (count,) = struct.unpack_from("<I", raw)
    begin = 0 if ordinal == 0 else struct.unpack_from("<I", raw, 4 * ordinal)[0]
    (end,) = struct.unpack_from("<I", raw, 4 + 4 * ordinal)
    entries = 4 + 4 * count
    return unpack_entry(raw[entries + begin : entries + end])


def entries_of(raw: bytes) -> list[Event]:
    """Every entry of a block."""
    (count,) = struct.unpack_from("<I", raw)
    return [entry_of(raw, ordinal) for ordinal in range(count)]
