"""An open part, and when it is due: plain values and one decision, no I/O.

A part is one (trail, account, region, event hour, folder) between two cuts. It is due

    when its hour has ended and since then nothing came for it for `settle` (what was under way
    at the end of the hour, and the reports of agents, then still make it into the part),
    at the latest `settle_max` after the hour's end; if its first event came later than that, or
    before the hour began, `settle_max` after that event (an event that is ahead of its hour by less
    than `settle_max` waits with the hour it belongs to),
    when it holds nothing but events of imports: once none of those imports runs any more.

Hours are judged by the wall clock; how long nothing came, by the monotonic one, so that a clock
that jumps closes a part early or late but never twice over.
"""

from dataclasses import dataclass

from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.staging.slices import Slice

_SECOND = 1_000_000_000
HOUR_NS = 3600 * _SECOND

SETTLED = "settled"
SETTLE_MAX = "settle_max"
IMPORT_ENDED = "import_ended"
EARLY = "early"
STOPPED = "stopped"
SIZE = "size"
WANTED = "wanted"


@dataclass(slots=True, eq=False)
class OpenPart:
    """What is known of a part without reading it."""

    number: int
    key: PartKey
    events: int = 0
    raw_bytes: int = 0
    counted: int = 0
    first: int = 0
    """Global position of its first event."""
    last: int = 0
    oldest: int = 0
    newest: int = 0
    live_first_ns: int = 0
    """Wall time at which its first event not of an import arrived, 0 if none did."""
    live_last_ns: int = 0
    quiet_since: float = 0.0
    """Monotonic time at which its last live event was gathered."""
    importers: tuple[str, ...] = ()
    asked: bool = False
    """A seal for it was put into the log and has not been read yet."""

    def add(self, piece: Slice, importer: str, monotonic: float) -> None:
        """Take note of events that were gathered now."""
        self.include(piece)
        if piece.live_first_ns:
            self.quiet_since = monotonic
        if importer and importer not in self.importers:
            self.importers = (*self.importers, importer)

    def include(self, piece: Slice) -> None:
        """Take note of events, whenever they were gathered."""
        self._include(
            piece.events, piece.raw_bytes, piece.counted, int(piece.positions[0]),
            int(piece.positions[-1]), piece.oldest, piece.newest, piece.live_first_ns,
            piece.live_last_ns,
        )  # fmt: skip

    def _include(
        self,
        events: int,
        raw_bytes: int,
        counted: int,
        first: int,
        last: int,
        oldest: int,
        newest: int,
        live_first: int,
        live_last: int,
    ) -> None:
        if not self.events:
            self.first, self.oldest, self.newest = first, oldest, newest
        assert self.events == 0 or first > self.last, "slices come in log order"
        self.events += events
        self.raw_bytes += raw_bytes
        self.counted += counted
        self.last = last
        self.oldest = min(self.oldest, oldest)
        self.newest = max(self.newest, newest)
        if live_first:
            self.live_first_ns = min(self.live_first_ns or live_first, live_first)
            self.live_last_ns = max(self.live_last_ns, live_last)

    include_row = _include


@dataclass(frozen=True, slots=True)
class Settling:
    """The two spans that decide, in seconds."""

    settle: float
    settle_max: float


def due(
    part: OpenPart, now_ns: int, monotonic: float, settling: Settling, running: frozenset[str]
) -> str | None:
    """Why `part` is to be cut now, or None. `running` are the imports that are under way."""
    held = any(importer in running for importer in part.importers)
    if not part.live_first_ns:
        return None if held else IMPORT_ENDED
    settle_ns = int(settling.settle * _SECOND)
    begin_ns = part.key.hour * HOUR_NS
    end_ns = begin_ns + HOUR_NS
    quiet = monotonic - part.quiet_since
    if now_ns >= end_ns + settle_ns and quiet >= settling.settle and not held:
        return SETTLED
    if now_ns >= _latest_ns(part.live_first_ns, begin_ns, end_ns, now_ns, settling):
        return SETTLE_MAX
    return None


def _latest_ns(first_ns: int, begin_ns: int, end_ns: int, now_ns: int, settling: Settling) -> int:
    span = int(settling.settle_max * _SECOND)
    if first_ns >= end_ns:
        return first_ns + span
    if first_ns < begin_ns and first_ns + span < begin_ns:
        return first_ns + span
    return end_ns + span
