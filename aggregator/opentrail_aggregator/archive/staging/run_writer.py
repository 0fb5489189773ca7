"""Writing one run."""

import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard

from opentrail.files import Files
from opentrail_aggregator.archive.staging.run_format import (
    BLOCK_BYTES,
    CHUNK_ROWS,
    MAGIC,
    ROW,
    TAIL,
    ZSTD_LEVEL,
    ChunkEntry,
    Directory,
    PartEntry,
)
from opentrail_aggregator.archive.staging.slices import Slice

_BLOCK, _BLOCK_BYTES, _SIDE_BYTES, _DERIVED_OFFSET, _ALONE = 7, 8, 9, 15, 17
_COALESCE_MAX_BYTES = 1 << 20
_encode = msgspec.msgpack.Encoder().encode


class RunWriter:
    """Takes slices in order of part number (and log order within one); `finish` makes it a run."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._temporary = path.with_name(path.name + ".tmp")
        self._files = files
        files.unlink(self._temporary)
        self._file = files.open_append(self._temporary)
        self._zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        self._rows: list[list[int]] = []  # Of the open chunk and block.
        self._block_rows = 0  # How many of them are in the open block.
        self._lines: list[bytes] = []
        self._raw = 0
        self._positions: list[bytes] = []
        self._positions_count = 0
        self._derived: list[bytes] = []
        self._derived_bytes = 0
        self._chunks: list[tuple[int, int, bytes, int]] = []
        self._parts: list[PartEntry] = []
        self._events = 0

    def add(self, part: PartEntry, piece: Slice) -> None:
        """Append a slice of `part`."""
        if not self._parts or self._parts[-1].number != part.number:
            assert not self._parts or self._parts[-1].number < part.number
            self._parts.append(part)
        self._events += piece.events
        if piece.packed:
            self._end_block()
            self._append_row(part.number, piece)
            self._end_block(packed=piece.packed)
            return
        if self._raw and self._raw + piece.raw_bytes > BLOCK_BYTES:
            self._end_block()
        self._append_row(part.number, piece)
        self._lines.append(piece.lines)

    def finish(self, first_position: int, last_position: int) -> int:
        """Make it durable under its name; returns its size."""
        self._end_block()
        self._end_chunk()
        chunks = []
        for first, last, data, rows in self._chunks:
            chunks.append(ChunkEntry(first, last, self._file.size, len(data), rows))
            self._file.write([data])
        directory = self._zstd.compress(_encode(Directory(chunks, self._parts)))
        tail = TAIL.pack(
            MAGIC, self._file.size, len(directory), zlib.crc32(directory),
            first_position, last_position, self._events,
        )  # fmt: skip
        self._file.write([directory, tail])
        self._file.datasync()  # Before the rename: the name says that it is whole.
        size = self._file.size
        self._file.close()
        self._files.rename(self._temporary, self._path)
        return size

    def abandon(self) -> None:
        """Leave nothing."""
        self._file.close()
        self._files.unlink(self._temporary)

    def _append_row(self, number: int, piece: Slice) -> None:
        derived = _encode(piece.derived) if piece.derived else b""
        last = self._rows[-1] if self._block_rows else None
        if (
            last is not None
            and last[0] == number
            and not derived
            and not last[16]
            and last[11] + piece.raw_bytes <= _COALESCE_MAX_BYTES
        ):
            # The same part again, just behind: one slice, so that merging really lessens them.
            last[2] = int(piece.positions[-1])
            last[3] = min(last[3], piece.oldest)
            last[4] = max(last[4], piece.newest)
            last[5] = min(each for each in (last[5], piece.live_first_ns) if each) if (
                last[5] or piece.live_first_ns
            ) else 0  # fmt: skip
            last[6] = max(last[6], piece.live_last_ns)
            last[11] += piece.raw_bytes
            last[12] += piece.events
            last[13] += piece.counted
        else:
            self._rows.append([
                number, int(piece.positions[0]), int(piece.positions[-1]), piece.oldest,
                piece.newest, piece.live_first_ns, piece.live_last_ns, 0, 0, 0, self._raw,
                piece.raw_bytes, piece.events, piece.counted, self._positions_count,
                self._derived_bytes, len(derived), 0,
            ])  # fmt: skip
            self._block_rows += 1
        self._raw += piece.raw_bytes
        self._positions.append(piece.positions.tobytes())
        self._positions_count += piece.events
        if derived:
            self._derived.append(derived)
            self._derived_bytes += len(derived)

    def _end_block(self, packed: bytes = b"") -> None:
        if not self._block_rows:
            return
        block = packed or self._zstd.compress(b"".join(self._lines))
        side = self._zstd.compress(b"".join(self._positions + self._derived))
        alone = int(self._block_rows == 1)
        for row in self._rows[-self._block_rows :]:
            row[_BLOCK], row[_BLOCK_BYTES] = self._file.size, len(block)
            row[_SIDE_BYTES], row[_ALONE] = len(side), alone
            row[_DERIVED_OFFSET] += 8 * self._positions_count  # They lie behind all positions.
        self._file.write([block, side])
        self._lines, self._raw, self._block_rows = [], 0, 0
        self._positions, self._positions_count = [], 0
        self._derived, self._derived_bytes = [], 0
        if len(self._rows) >= CHUNK_ROWS:
            self._end_chunk()

    def _end_chunk(self) -> None:
        if not self._rows:
            return
        rows: Any = np.array([tuple(row) for row in self._rows], dtype=ROW)
        self._chunks.append(
            (self._rows[0][0], self._rows[-1][0], self._zstd.compress(rows.tobytes()), len(rows))
        )
        self._rows = []
