"""Reading one run: the slices of a part, or all of them in order."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard

from opentrail.errors import DamagedError
from opentrail.files import Files
from opentrail.formats import is_later, newer
from opentrail.limits import BATCH_MAX_RAW_BYTES
from opentrail_aggregator.archive.staging.run_format import (
    DIRECTORY_MAX_BYTES,
    MAGIC,
    ROW,
    SIDE_MAX_BYTES,
    TAIL,
    TAIL_BYTES,
    Directory,
    PartEntry,
)
from opentrail_aggregator.archive.staging.slices import PACKED_MIN_BYTES, Slice

_directory_decoder = msgspec.msgpack.Decoder(Directory)
_derived_decoder = msgspec.msgpack.Decoder(dict[int, str])


class Run:
    """A finished run. Keeps the spans of its index chunks, one chunk and one block in memory."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self._files = files
        try:
            self.bytes = files.size(path)
            tail = files.read(path, max(self.bytes - TAIL_BYTES, 0), TAIL_BYTES)
        except FileNotFoundError as error:
            raise self._damaged("it is gone") from error
        if is_later(tail[:8], MAGIC):
            raise newer(path, tail[:8].decode(), MAGIC.decode())
        if len(tail) < TAIL_BYTES or tail[:8] != MAGIC:
            raise self._damaged("it does not end as a run does")
        _, offset, size, crc, self.first_position, self.last_position, self.events = TAIL.unpack(
            tail
        )
        data = files.read(path, offset, size)
        if zlib.crc32(data) != crc:
            raise self._damaged("the checksum of its directory is wrong")
        self._unzip = zstandard.ZstdDecompressor()
        directory = _directory_decoder.decode(
            self._unzip.decompress(data, max_output_size=DIRECTORY_MAX_BYTES)
        )
        self.parts: list[PartEntry] = directory.parts
        """The parts in it, by number; dropped by `forget_parts` once they are known."""
        self.numbers = np.array([part.number for part in directory.parts], dtype="<u8")
        self.chunks = directory.chunks
        self.rows = sum(chunk.rows for chunk in self.chunks)
        self._chunk = (-1, np.zeros(0, dtype=ROW))
        self._block: tuple[int, bytes, bytes] = (-1, b"", b"")

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def slice_bytes(self) -> float:
        """Mean size of a slice on disk."""
        return self.bytes / max(self.rows, 1)

    def forget_parts(self) -> None:
        """Free what only an opening needs."""
        self.parts = []

    def slices_of(self, number: int) -> Iterator[Slice]:
        """The part's slices in log order."""
        for row in self.rows_of(number):
            yield self.read(row)

    def rows_of(self, number: int) -> list[Any]:
        """Index rows of the part."""
        found: list[Any] = []
        for place, chunk in enumerate(self.chunks):
            if chunk.first_number > number:
                break
            if chunk.last_number < number:
                continue
            rows = self._rows(place)
            begin = int(np.searchsorted(rows["number"], np.uint64(number), "left"))
            end = int(np.searchsorted(rows["number"], np.uint64(number), "right"))
            found.extend(rows[begin:end])
        return found

    def all_rows(self) -> Iterator[Any]:
        """Every row in order, a chunk at a time in memory."""
        for place in range(len(self.chunks)):
            yield from self._rows(place, keep=False)

    def read(self, row: Any) -> Slice:
        """The slice behind an index row."""
        offset = int(row["block"])
        events, raw = int(row["events"]), int(row["raw"])
        alone = bool(row["alone"]) and int(row["block_bytes"]) > 0 and raw >= PACKED_MIN_BYTES
        if self._block[0] != offset:
            data = self._files.read(
                self.path, offset, int(row["block_bytes"]) + int(row["side_bytes"])
            )
            block, side = data[: int(row["block_bytes"])], data[int(row["block_bytes"]) :]
            lines = block if alone else self._decompress(block, BATCH_MAX_RAW_BYTES)
            self._block = (offset, lines, self._decompress(side, SIDE_MAX_BYTES))
        _, lines, side = self._block
        begin = int(row["event_offset"]) * 8
        positions = np.frombuffer(side, dtype="<u8", count=events, offset=begin)
        derived: dict[int, str] = {}
        if row["derived_bytes"]:
            at = int(row["derived_offset"])
            derived = _derived_decoder.decode(side[at : at + int(row["derived_bytes"])])
        start = int(row["offset"])
        return Slice(
            b"" if alone else lines[start : start + raw],
            lines if alone else b"",
            raw,
            positions,
            int(row["oldest"]),
            int(row["newest"]),
            int(row["counted"]),
            int(row["live_first"]),
            int(row["live_last"]),
            derived,
        )

    def _rows(self, place: int, keep: bool = True) -> Any:
        if self._chunk[0] == place:
            return self._chunk[1]
        chunk = self.chunks[place]
        data = self._files.read(self.path, chunk.offset, chunk.bytes)
        rows = np.frombuffer(self._decompress(data, chunk.rows * ROW.itemsize), dtype=ROW)
        if len(rows) != chunk.rows:
            raise self._damaged(f"index chunk {place} is short")
        if keep:
            self._chunk = (place, rows)
        return rows

    def _decompress(self, data: bytes, limit: int) -> bytes:
        try:
            return self._unzip.decompress(data, max_output_size=limit)
        except zstandard.ZstdError as error:
            raise self._damaged(f"a block cannot be decompressed ({error})") from error

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(
            f"{self.path}: {what}; if the log still begins at position 1, stop the archive, move "
            "the staging folder away and start: everything is made again from the log"
        )
