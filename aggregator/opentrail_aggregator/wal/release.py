"""What of the log may go: a pure decision over the cursors of its readers.

A segment goes when every reader has passed it. When the log is nearly full, one exception: what
only the index still needs, and can read back from the archive, goes as soon as it is archived, so
that a sick index does not stop capture. An event that no trail selected is in no archive, so it
stays until it is indexed: `Standing.recoverable_through` ends before the first of those.

Two more things hold a segment back: the ledger of ingest must have remembered its batch numbers
(they outlive it), and the open segment never goes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentrail.limits import MIB
from opentrail_aggregator.wal.cursors import Cursors

PRESSURE = 0.9
"""Share of log.max_bytes from which the index may be left to catch up from the archive."""
HEADROOM_BYTES = 32 * MIB
"""Less room than this is pressure, too: agents that are fast fill it between two looks."""
HEADROOM_SHARE = 0.25
"""No more of a small log than this is headroom."""

_INDEXES = frozenset({"index", "opensearch"})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a reader is, as its cursor tells."""

    position: int
    can_catch_up: bool = False
    """An index: it reads released positions from the archive (`state["can_catch_up"]`)."""
    recoverable_through: int = 0
    """The archive: every event through here is in an object (`state["recoverable_through"]`)."""


def release_through(
    standings: Mapping[str, Standing],
    readers: Sequence[str],
    remembered_through: int,
    *,
    is_pressed: bool,
) -> int:
    """The last position that nobody needs any more; 0 if there is none."""
    limits = reader_limits(standings, readers, is_pressed=is_pressed)
    return min((remembered_through, *limits.values()))


def reader_limits(
    standings: Mapping[str, Standing], readers: Sequence[str], *, is_pressed: bool
) -> dict[str, int]:
    """Of each reader the last position that it does not need any more."""
    limits: dict[str, int] = {}
    for name in readers:
        standing = standings.get(name, Standing(0))
        limit = standing.position
        if name in _INDEXES and is_pressed and standing.can_catch_up:
            archive = standings.get("archive", Standing(0))
            limit = max(limit, min(archive.position, archive.recoverable_through))
        limits[name] = limit
    return limits


def is_pressed(size_bytes: int, max_bytes: int) -> bool:
    """Whether the log is so full that the index has to catch up elsewhere."""
    headroom = min(HEADROOM_BYTES, max_bytes * HEADROOM_SHARE)
    return size_bytes >= min(max_bytes * PRESSURE, max_bytes - headroom)


def read_standings(cursors: Cursors, readers: Sequence[str]) -> dict[str, Standing]:
    """What the cursors of `readers` say now."""
    return {name: _standing(name, *cursors.read(name)) for name in readers}


def _standing(name: str, position: int, state: dict[str, Any]) -> Standing:
    # An index that has never begun (its server was away from the start) will find the log
    # beginning behind its place, as after any release.
    never_began = name in _INDEXES and not position and not state
    return Standing(
        position,
        bool(state.get("can_catch_up", never_began)),
        int(state.get("recoverable_through", 0)),
    )
