"""From a frame and its verdict to pieces: which lines go to which part.

Work is per frame where it can be: a frame of one account, region and hour whose events are all kept
stays whole, even in the zstd frame it came in. Otherwise lines are sorted by part with numpy and
joined again; no JSON is touched but for the lines whose category may not be the usual one.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from opentrail.batch import HEAD_BYTES, BatchHead, SourceRun, batch_events, batch_sources
from opentrail_aggregator.archive.keys import DEFAULT_FOLDER, FOLDERS, PartKey
from opentrail_aggregator.archive.reporters import importer_of
from opentrail_aggregator.archive.staging.slices import PACKED_MIN_BYTES, Slice, positions_from
from opentrail_aggregator.archive.trails import Trails
from opentrail_aggregator.consolidate.verdict import KEPT, NO_GROUP, REFUSED, Verdict
from opentrail_aggregator.wal.log import LogEntry

POSITION_BITS = 16
_IMPORT = "import"

_FOLDER_NAMES = (DEFAULT_FOLDER, *sorted(FOLDERS.values()))
_FOLDER_CODES = {name: _FOLDER_NAMES.index(folder) for name, folder in FOLDERS.items()}


class _Category(msgspec.Struct, gc=False):
    eventCategory: Any = None


_category_decoder = msgspec.json.Decoder(_Category)


class Piece(NamedTuple):
    """Events of one frame for one part."""

    key: PartKey
    slice: Slice
    importer: str
    """The import they are of (see `reporters.importer_of`), empty for live events."""


def global_position(frame: int, ordinal: int = 0) -> int:
    """Where an event is in the log."""
    return frame << POSITION_BITS | ordinal


def gather(entry: LogEntry, verdict: Verdict, trails: Trails) -> Iterator[Piece]:
    """The kept events of a frame, by part, in an order that follows from the frame alone."""
    if not verdict.groups or not entry.is_batch:
        return
    data = batch_events(entry.payload)
    sources = batch_sources(entry.payload)
    imported = _import_flags(sources, verdict.events)
    folders = _folder_codes(data, verdict)
    times = np.frombuffer(verdict.times, dtype="<i8")
    importer = importer_of(entry.agent, entry.epoch)
    plain = folders is None and isinstance(imported, bool)
    if plain and len(verdict.groups) == 1 and verdict.all_kept:
        live_ns = 0 if imported else entry.appended_at_ns
        piece = Slice(
            data, b"", len(data),
            positions_from(global_position(entry.position), verdict.events),
            int(times.min()), int(times.max()), 0, live_ns, live_ns, verdict.derived,
        )  # fmt: skip
        if len(data) >= PACKED_MIN_BYTES:
            piece.lines, piece.packed = b"", _packed(entry.payload)
        yield from _for_trails(verdict, 0, 0, piece, importer if imported else "", trails)
        return
    yield from _split(entry, verdict, trails, data, times, imported, folders)


def _split(
    entry: LogEntry,
    verdict: Verdict,
    trails: Trails,
    data: bytes,
    times: Any,
    imported: Any,
    folders: Any,
) -> Iterator[Piece]:
    lines = data.split(b"\n")
    group_of = np.frombuffer(verdict.group_of, dtype="<u2")
    code = group_of.astype(np.int64)
    if folders is not None:
        code |= folders << 16
    code |= np.int64(1 << 24) * imported
    kept = np.flatnonzero(group_of != NO_GROUP)
    if not len(kept):
        return  # Copies only: their groups are named, and nothing is in them.
    order = kept[np.argsort(code[kept], kind="stable")]
    codes = code[order]
    begins = np.concatenate(([0], np.flatnonzero(np.diff(codes)) + 1))
    ends = [*begins[1:].tolist(), len(order)]
    sorted_times = times[order]
    oldest = np.minimum.reduceat(sorted_times, begins).tolist()
    newest = np.maximum.reduceat(sorted_times, begins).tolist()
    positions = order.astype(np.uint64) + np.uint64(global_position(entry.position))
    first_codes = codes[begins].tolist()
    ordinals = order.tolist()
    derived = verdict.derived
    for place, (begin, end) in enumerate(zip(begins.tolist(), ends, strict=True)):
        mine = ordinals[begin:end]
        text = b"\n".join([lines[ordinal] for ordinal in mine]) + b"\n"
        is_import = bool(first_codes[place] >> 24)
        live_ns = 0 if is_import else entry.appended_at_ns
        piece = Slice(
            text, b"", len(text), positions[begin:end], oldest[place], newest[place], 0,
            live_ns, live_ns,
            {i: derived[o] for i, o in enumerate(mine) if o in derived} if derived else {},
        )  # fmt: skip
        group, folder = first_codes[place] & 0xFFFF, first_codes[place] >> 16 & 0xFF
        importer = importer_of(entry.agent, entry.epoch) if is_import else ""
        yield from _for_trails(verdict, group, folder, piece, importer, trails)


def _for_trails(
    verdict: Verdict, group: int, folder: int, piece: Slice, importer: str, trails: Trails
) -> Iterator[Piece]:
    """One piece per trail that selects the events; the first one counts them."""
    account, region, hour = (
        verdict.groups[group].account, verdict.groups[group].region, verdict.groups[group].hour
    )  # fmt: skip
    for place, trail in enumerate(trails.all):
        piece.counted = piece.events if place == 0 else 0
        yield Piece(
            PartKey(trail.arn, account, region, hour, _FOLDER_NAMES[folder]), piece, importer
        )


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


def _folder_codes(data: bytes, verdict: Verdict) -> Any:
    """Folder of each line as a code, None when all are in the usual one.

    Refused lines can be anything, also two values on one line: with them in the batch, values and
    lines are not one to one and must not be decoded as if they were.
    """
    if REFUSED in verdict.outcomes:
        categories = _categories_one_by_one(data, verdict)
    else:
        categories = [view.eventCategory for view in _category_decoder.decode_lines(data)]
    if _FOLDER_CODES.keys().isdisjoint(_texts(categories)):
        return None
    codes = [_FOLDER_CODES.get(each, 0) if isinstance(each, str) else 0 for each in categories]
    return np.array(codes, dtype=np.int64)


def _texts(categories: list[Any]) -> set[Any]:
    try:
        return set(categories)
    except TypeError:  # A category can be any JSON value.
        return {each for each in categories if isinstance(each, str)}


def _categories_one_by_one(data: bytes, verdict: Verdict) -> list[Any]:
    categories: list[Any] = []
    for ordinal, line in enumerate(data.split(b"\n")[:-1]):
        if verdict.outcomes[ordinal] != KEPT:
            categories.append(None)
            continue
        categories.append(_category_decoder.decode(line).eventCategory)
    return categories
