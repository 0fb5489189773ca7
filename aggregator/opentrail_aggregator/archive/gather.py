"""From a frame and its verdict to pieces: which lines go to which part of which trail.

Work is per frame where it can be: a frame of one account, region and hour whose events are all kept
stays whole, even in the zstd frame it came in. Otherwise lines are sorted by part with numpy and
joined again; no JSON is touched but for what `chosen` looks at. Trails that take the same events
share their bytes.

An event counts once in the sums, for the first trail that takes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from opentrail.batch import HEAD_BYTES, BatchHead, SourceRun, batch_events, batch_sources
from opentrail_aggregator.archive.chosen import FOLDER_NAMES, Chosen
from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.reporters import importer_of
from opentrail_aggregator.archive.staging.slices import PACKED_MIN_BYTES, Slice
from opentrail_aggregator.archive.trails import Trails
from opentrail_aggregator.consolidate.verdict import NO_GROUP, Verdict
from opentrail_aggregator.wal.log import LogEntry

POSITION_BITS = 16
_IMPORT = "import"


class Piece(NamedTuple):
    """Events of one frame for one part."""

    key: PartKey
    slice: Slice
    importer: str
    """The import they are of (see `reporters.importer_of`), empty for live events."""


@dataclass(slots=True)
class Gathered:
    """All of a frame."""

    pieces: list[Piece] = field(default_factory=list)
    """In an order that follows from the frame alone."""
    kept: int = 0
    taken: dict[str, int] = field(default_factory=dict)
    """How many events go to each trail, by its ARN."""
    unselected: int = 0
    """Kept events that no trail takes."""


def global_position(frame: int, ordinal: int = 0) -> int:
    """Where an event is in the log."""
    return frame << POSITION_BITS | ordinal


def gather(entry: LogEntry, verdict: Verdict, trails: Trails) -> Gathered:
    """The kept events of a frame, by part."""
    if not verdict.groups or not entry.is_batch:
        return Gathered()
    frame = _Frame(entry, verdict, trails)
    group_of = np.frombuffer(verdict.group_of, dtype="<u2")
    kept = np.flatnonzero(group_of != NO_GROUP)
    found = Gathered(kept=len(kept))
    if not len(kept):
        return found  # Copies only: their groups are named, and nothing is in them.
    for code, ordinals in frame.segments(group_of, kept):
        frame.share(found, code, ordinals)
    found.unselected = found.kept - frame.counted
    return found


class _Frame:
    """One frame while it is taken apart."""

    def __init__(self, entry: LogEntry, verdict: Verdict, trails: Trails) -> None:
        self._entry, self._verdict, self._trails = entry, verdict, trails
        self._data = batch_events(entry.payload)
        self._imported = _import_flags(batch_sources(entry.payload), verdict.events)
        self._chosen = Chosen(self._data, verdict, trails)
        self._times = np.frombuffer(verdict.times, dtype="<i8")
        self._lines: list[bytes] | None = None
        self._counted = np.zeros(verdict.events, dtype=bool) if len(trails.all) > 1 else None
        self.counted = 0

    def segments(self, group_of: Any, kept: Any) -> Iterator[tuple[int, Any]]:
        """Events that belong together: what they have in common as a code, and which they are."""
        code = group_of.astype(np.int64)
        if self._chosen.folders is not None:
            code |= self._chosen.folders << 16
        code |= np.int64(1 << 24) * self._imported
        order = kept[np.argsort(code[kept], kind="stable")]
        codes = code[order]
        begins = np.concatenate(([0], np.flatnonzero(np.diff(codes)) + 1))
        ends = [*begins[1:].tolist(), len(order)]
        for begin, end in zip(begins.tolist(), ends, strict=True):
            yield int(codes[begin]), order[begin:end]

    def share(self, found: Gathered, code: int, ordinals: Any) -> None:
        """Give the events to each trail that takes them."""
        group = self._verdict.groups[code & 0xFFFF]
        folder = FOLDER_NAMES[code >> 16 & 0xFF]
        is_import = bool(code >> 24)
        importer = importer_of(self._entry.agent, self._entry.epoch) if is_import else ""
        made: dict[bytes, Slice] = {}
        for trail in self._trails.all:
            if not trail.reach(group.account, group.region):
                continue
            mask = self._chosen.masks.get(trail.arn)
            mine = ordinals if mask is None else ordinals[mask[ordinals]]
            if not len(mine):
                continue
            same = mine.tobytes()
            if same not in made:
                made[same] = self._slice(mine, is_import)
            piece = self._counted_for(made[same], mine)
            found.taken[trail.arn] = found.taken.get(trail.arn, 0) + len(mine)
            key = PartKey(trail.arn, group.account, group.region, group.hour, folder)
            found.pieces.append(Piece(key, piece, importer))

    def _counted_for(self, whole: Slice, mine: Any) -> Slice:
        """The slice with those of its events counted that are not counted yet."""
        if self._counted is None:
            self.counted += whole.events
            return replace(whole, counted=whole.events)
        fresh = ~self._counted[mine]
        self._counted[mine] = True
        count = int(fresh.sum())
        self.counted += count
        marks = None if count in (0, len(mine)) else fresh
        return replace(whole, counted=count, marks=marks)

    def _slice(self, mine: Any, is_import: bool) -> Slice:
        entry, derived = self._entry, self._verdict.derived
        live_ns = 0 if is_import else entry.appended_at_ns
        times = self._times[mine]
        positions = mine.astype(np.uint64) + np.uint64(global_position(entry.position))
        if len(mine) == self._verdict.events:  # All of them, so in their order.
            text = self._data
            ids = derived
        else:
            text = self._text(mine)
            ids = (
                {i: derived[o] for i, o in enumerate(mine.tolist()) if o in derived}
                if derived
                else {}
            )
        piece = Slice(
            text, b"", len(text), positions, int(times.min()), int(times.max()), 0, live_ns,
            live_ns, ids,
        )  # fmt: skip
        if text is self._data and len(text) >= PACKED_MIN_BYTES:
            piece.lines, piece.packed = b"", _packed(entry.payload)
        return piece

    def _text(self, mine: Any) -> bytes:
        if self._lines is None:
            self._lines = self._data.split(b"\n")
        lines = self._lines
        return b"\n".join([lines[ordinal] for ordinal in mine.tolist()]) + b"\n"


def _packed(payload: bytes) -> bytes:
    head = BatchHead.parse(payload)
    begin = HEAD_BYTES + head.sources_bytes
    return payload[begin : begin + head.events_zstd_bytes]


def _import_flags(sources: list[SourceRun], events: int) -> Any:
    """Whether events are of an import: one answer for all, or an array of answers."""
    kinds = {source.kind == _IMPORT for source in sources if source.events}
    if len(kinds) < 2:
        return kinds == {True}
    flags = np.zeros(events, dtype=np.int64)
    at = 0
    for source in sources:
        flags[at : at + source.events] = source.kind == _IMPORT
        at += source.events
    return flags
