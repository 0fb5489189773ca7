"""A slice: consecutive-in-log events of one part, with what is known beside their bytes."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from opentrail.limits import BATCH_MAX_RAW_BYTES

Positions = npt.NDArray[np.uint64]

PACKED_MIN_BYTES = 64 * 1024
"""Lines in a zstd frame of their own are kept in it from this size on, never compressed again."""


@dataclass(slots=True)
class Slice:
    """Events of one part in log order."""

    lines: bytes
    """NDJSON; empty when `packed` holds it."""
    packed: bytes
    """One zstd frame of the lines, or empty."""
    raw_bytes: int
    positions: Positions
    """Global position of each: frame << 16 | ordinal."""
    oldest: int
    newest: int
    """Of the events' times, epoch seconds."""
    counted: int
    """Events that count for this trail in the sums: each event counts once, whoever delivers it."""
    live_first_ns: int
    """When the first that is not of an import arrived, 0 if all are of imports."""
    live_last_ns: int
    derived: dict[int, str] = field(default_factory=dict)
    """Index in the slice -> derived eventID."""
    marks: Any = None
    """Which of the events count, while it is neither all nor none of them; not kept on disk."""

    @property
    def events(self) -> int:
        return len(self.positions)

    def text(self) -> bytes:
        """The lines, unpacked."""
        if not self.packed:
            return self.lines
        raw = zstandard.ZstdDecompressor().decompress(
            self.packed, max_output_size=BATCH_MAX_RAW_BYTES
        )
        assert len(raw) == self.raw_bytes
        return raw

    def cut(self, index: int) -> "tuple[Slice, Slice]":
        """Two slices: the events before `index` and those from it on; neither is empty."""
        assert 0 < index < self.events
        text = self.text()
        offset = -1
        for _ in range(index):
            offset = text.index(b"\n", offset + 1)
        offset += 1
        return self._part(text[:offset], 0, index), self._part(text[offset:], index, self.events)

    def fitting(self, room: int) -> int:
        """How many of the first events have at most `room` bytes with their line feeds."""
        text = self.text()
        count, offset = 0, 0
        while offset < len(text):
            end = text.index(b"\n", offset) + 1
            if end > room:
                break
            count, offset = count + 1, end
        return count

    def _part(self, lines: bytes, begin: int, end: int) -> "Slice":
        # Times are known for the whole only: a reader may find them a little wide, never wrong.
        counted = self.counted if self.counted == 0 else end - begin
        marks = None
        if self.marks is not None:
            marks = self.marks[begin:end]
            counted = int(marks.sum())
        return Slice(
            lines, b"", len(lines), self.positions[begin:end], self.oldest, self.newest, counted,
            self.live_first_ns, self.live_last_ns,
            {i - begin: each for i, each in self.derived.items() if begin <= i < end}, marks,
        )  # fmt: skip


def positions_from(first: int, count: int) -> Positions:
    """`count` consecutive positions."""
    return np.arange(first, first + count, dtype=np.uint64)


def deltas(positions: Positions) -> list[int]:
    """The first position, then the steps between positions."""
    values: Any = np.diff(positions, prepend=np.uint64(0))
    return [int(value) for value in values.tolist()]


def undeltas(steps: list[int]) -> Positions:
    """The inverse of `deltas`."""
    total: Positions = np.cumsum(np.array(steps, dtype=np.uint64), dtype=np.uint64)
    return total
