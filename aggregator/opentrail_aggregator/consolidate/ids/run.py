"""A run: one immutable file of id rows, sorted by prefix.

    NAME.ids     +-----------------+--------------+---------------+--------+
                 | rows, 32 B each | hours u64[m] | starts u64[m] | footer |
                 +-----------------+--------------+---------------+--------+
    footer       magic "OTIDRUN1" | rows u64 | hours u64 | crc rows u32 | crc index u32
                 | crc filter u32 | crc of this footer u32
    NAME.filter  2 bytes per row, nothing else

`hours` names each (biased) hour that occurs, `starts` its first row. The filter has 16 bits per
row, one of them set: within its hour a key sets the bit at its place among all possible keys. Keys
are uniform, so 15 of 16 keys that are not in the run end there, after one touch of memory, and the
bits are written and read in the order of the rows.

Both files are looked at through a mapping: they live in the page cache, not in this process. The
filter is durable before the footer is written, and a file without a footer is no run.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import is_later, newer
from opentrail_aggregator.consolidate.ids.rows import (
    KEY_BITS,
    LOW,
    PREFIX,
    ROW_BYTES,
    Column,
    Rows,
)

_FOOTER = struct.Struct("<8sQQIII")
_FOOTER_BYTES = _FOOTER.size + 4
_MAGIC = b"OTIDRUN1"
FILTER_BITS = 16
_KEY_MASK = np.uint64((1 << KEY_BITS) - 1)
_SYNC_BYTES = 4 << 20

Mapper = Callable[[Path], memoryview]


def map_file(path: Path) -> memoryview:
    """The file's bytes, held by the page cache."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
    # Keys are random: reading ahead of a lookup would only push other pages out.
    mapped.madvise(mmap.MADV_RANDOM)
    return memoryview(mapped)


class HourIndex:
    """Which hours occur in a run, where each begins, and where its filter bits lie."""

    def __init__(self, hours: Column, starts: Column, rows: int) -> None:
        self.hours = hours
        self.starts = starts
        self.rows = rows

    def places(self, hours: Column) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The index of each of `hours` here, and whether it occurs."""
        place = np.searchsorted(self.hours, hours)
        place[place == len(self.hours)] = 0
        return place, self.hours[place] == hours

    def bits(
        self, prefix: Column, places: NDArray[np.intp], place_of: NDArray[np.intp]
    ) -> NDArray[np.int64]:
        """The filter bit of each key, whose hour is `places[place_of]`; grows with the prefix."""
        first = self.starts[places].astype(np.float64)
        following = places + 1
        last = following == len(self.starts)
        following[last] = 0
        end = self.starts[following].astype(np.float64)
        end[last] = self.rows
        bits = (end - first) * FILTER_BITS
        scale = bits / float(1 << KEY_BITS)
        fraction = (prefix & _KEY_MASK).astype(np.float64)
        within = np.minimum(np.floor(fraction * scale[place_of]), (bits - 1)[place_of])
        return (first[place_of] * FILTER_BITS + within).astype(np.int64)


class RunWriter:
    """Writes a run whose number of rows per hour is known before the first row is."""

    def __init__(self, path: Path, hours: Column, counts: Column, files: Files = DISK) -> None:
        self.path = path
        self.rows = int(counts.sum())
        starts = np.cumsum(counts, dtype=np.uint64) - counts
        self._index = HourIndex(hours, starts, self.rows)
        for each in (path, filter_path(path)):
            files.unlink(each)  # What an earlier attempt left.
        self._file = files.open_append(path)
        self._filter = files.open_append(filter_path(path))
        self._written = 0
        self._unsynced = 0
        self._crc = 0
        self._filter_crc = 0
        self._open = b""
        """The last filter byte, to which the next rows may still add bits."""

    def write(self, rows: Rows) -> None:
        """Append rows that sort behind all before them."""
        if not len(rows):
            return
        data = rows.tobytes()
        self._crc = zlib.crc32(data, self._crc)
        self._file.write([data])
        self._written += len(rows)
        self._write_bits(rows[:, PREFIX])
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_BYTES:
            # In pieces, or the last sync of a large run would take seconds.
            self._filter.datasync()
            self._file.datasync()
            self._unsynced = 0

    def _write_bits(self, prefix: Column) -> None:
        hours, hour_of = np.unique(prefix >> np.uint64(KEY_BITS), return_inverse=True)
        places, _ = self._index.places(hours)
        bits = self._index.bits(prefix, places, hour_of)
        first = self._filter.size * 8  # Whole bytes before it are written.
        flags = np.zeros((int(bits[-1]) // 8 + 1) * 8 - first, dtype=np.bool_)
        flags[bits - first] = True
        packed = bytearray(np.packbits(flags, bitorder="little").tobytes())
        if self._open:
            packed[0] |= self._open[0]
        self._open = bytes(packed[-1:])
        self._put(bytes(packed[:-1]))

    def _put(self, piece: bytes) -> None:
        self._filter_crc = zlib.crc32(piece, self._filter_crc)
        self._filter.write([piece])

    def finish(self) -> None:
        """Write the rest; the run is durable when this returns."""
        if self._written != self.rows:
            raise DamagedError(f"{self.path}: {self._written} rows written, {self.rows} announced")
        self._put(self._open)
        self._put(bytes(self.rows * FILTER_BITS // 8 - self._filter.size))
        self._filter.datasync()
        self._filter.close()
        index = self._index.hours.tobytes() + self._index.starts.tobytes()
        footer = _FOOTER.pack(
            _MAGIC,
            self.rows,
            len(self._index.hours),
            self._crc,
            zlib.crc32(index),
            self._filter_crc,
        )
        self._file.write([index, footer, struct.pack("<I", zlib.crc32(footer))])
        self._file.datasync()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the files; they are orphans until someone removes them."""
        self._filter.close()
        self._file.close()


class Run:
    """A finished run, open for lookups."""

    def __init__(self, path: Path, mapper: Mapper = map_file) -> None:
        self.path = path
        self._view = mapper(path)
        self.rows, hours, self._crcs = _read_footer(path, self._view)
        self._bits = mapper(filter_path(path))
        if len(self._bits) != self.rows * FILTER_BITS // 8:
            raise DamagedError(f"{filter_path(path)}: {len(self._bits)} bytes for {self.rows} rows")
        at = self.rows * ROW_BYTES
        self.table: Rows = np.frombuffer(self._view, np.uint64, self.rows * 4).reshape(-1, 4)
        self.hours: Column = np.frombuffer(self._view, np.uint64, hours, at)
        self.starts: Column = np.frombuffer(self._view, np.uint64, hours, at + 8 * hours)
        self._filter: NDArray[np.uint8] = np.frombuffer(self._bits, np.uint8)
        self._index = HourIndex(self.hours, self.starts, self.rows)

    def counts(self) -> Column:
        """Rows of each hour."""
        return np.append(self.starts[1:], np.uint64(self.rows)) - self.starts

    def find(
        self, prefix: Column, low: Column, hours: Column, hour_of: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], Rows]:
        """Indexes of the keys found here, and their rows.

        `prefix` ascends; `hours` are the distinct hours in it and `hour_of` says which is whose.
        """
        places, present = self._index.places(hours)
        if not present.any():
            return _NONE, self.table[:0]
        wanted = np.flatnonzero(present[hour_of])
        bits = self._index.bits(prefix[wanted], places, hour_of[wanted])
        passed = self._filter[bits >> 3] & (np.uint8(1) << (bits & 7).astype(np.uint8))
        wanted = wanted[passed != 0]
        if not len(wanted):
            return _NONE, self.table[:0]
        sought = prefix[wanted]
        at = np.searchsorted(self.table[:, PREFIX], sought)
        return self._walk(wanted, sought, low[wanted], at)

    def _walk(
        self, wanted: NDArray[np.intp], prefix: Column, low: Column, at: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], Rows]:
        """Compare from `at` on while the prefix is the same; nearly always one row."""
        indexes: list[NDArray[np.intp]] = []
        rows: list[Rows] = []
        while len(wanted):
            inside = at < self.rows
            wanted, prefix, low, at = wanted[inside], prefix[inside], low[inside], at[inside]
            here = self.table[at]
            same = here[:, PREFIX] == prefix
            hit = same & (here[:, LOW] == low)
            indexes.append(wanted[hit])
            rows.append(here[hit])
            again = same & ~hit
            wanted, prefix, low, at = wanted[again], prefix[again], low[again], at[again] + 1
        return np.concatenate(indexes), np.concatenate(rows)

    def row_at_or_behind(self, biased_hour: int) -> int:
        """The first row of `biased_hour` or of a later one."""
        place = int(np.searchsorted(self.hours, np.uint64(biased_hour)))
        return int(self.starts[place]) if place < len(self.starts) else self.rows

    def damage(self) -> str:
        """What a full read finds wrong, empty if nothing."""
        end = self.rows * ROW_BYTES
        parts = (
            (self._view[:end], "rows"),
            (self._view[end:-_FOOTER_BYTES], "hour index"),
            (self._bits, "filter"),
        )
        wrong = [
            name
            for (part, name), crc in zip(parts, self._crcs, strict=True)
            if zlib.crc32(part) != crc
        ]
        return f"{self.path}: wrong checksum of its {', '.join(wrong)}" if wrong else ""

    @property
    def size_bytes(self) -> int:
        return len(self._view) + len(self._bits)


_NONE: NDArray[np.intp] = np.empty(0, dtype=np.intp)


def filter_path(path: Path) -> Path:
    """Where the filter of the run at `path` lies."""
    return path.with_suffix(".filter")


def _read_footer(path: Path, view: memoryview) -> tuple[int, int, tuple[int, int, int]]:
    footer = bytes(view[-_FOOTER_BYTES:])
    if len(footer) < _FOOTER_BYTES:
        raise DamagedError(f"{path}: {len(view)} bytes are too few for a run of ids")
    magic, rows, hours, *crcs = _FOOTER.unpack_from(footer)
    if is_later(magic, _MAGIC):
        raise newer(path, magic.decode(), _MAGIC.decode())
    if magic != _MAGIC or zlib.crc32(footer[:-4]) != int.from_bytes(footer[-4:], "little"):
        raise DamagedError(f"{path}: its last {_FOOTER_BYTES} bytes are not the footer of a run")
    if rows * ROW_BYTES + 16 * hours + _FOOTER_BYTES != len(view):
        raise DamagedError(f"{path}: {len(view)} bytes do not hold {rows} rows and {hours} hours")
    return rows, hours, (crcs[0], crcs[1], crcs[2])
