"""Which event days the index holds: decisions over dates, no I/O.

A day is held until the whole of it is older than the retention, so the last `days` times 24 hours
are always complete. Days before that are *expired*: what is dated so is counted, not indexed.

A clock that jumps ahead would make every day look expired. So the oldest day moves on only after
wall clock and monotonic clock have agreed for a while; a restart with a wrong clock is not noticed.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from opentrail.clock import Clock

JUMP_SECONDS = 3600.0
SETTLE_SECONDS = 600.0
_EPOCH = date(1970, 1, 1)
_FIRST, _LAST = date.min.toordinal(), date.max.toordinal()
_EPOCH_ORDINAL = _EPOCH.toordinal()


def day_of(time_s: int) -> str:
    """The UTC day of a time, `2026-11-24`; the calendar's ends stand for what lies beyond."""
    ordinal = time_s // 86400 + _EPOCH_ORDINAL
    return date.fromordinal(min(max(ordinal, _FIRST), _LAST)).isoformat()


@lru_cache(maxsize=4096)
def day_seconds(day: str) -> tuple[int, int]:
    """First and last second of a day."""
    first = (date.fromisoformat(day).toordinal() - _EPOCH_ORDINAL) * 86400
    return first, first + 86399


def oldest_day(now_ns: int, days: int) -> str:
    """The first day that is not wholly older than `days` times 24 hours."""
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    try:
        return (now - timedelta(days=days)).date().isoformat()
    except OverflowError:
        return date.min.isoformat()


@dataclass(slots=True)
class RetentionClock:
    """The oldest day to hold, unmoved by a jumping clock."""

    clock: Clock
    days: int
    _ahead: float | None = None
    _settled_at: float = 0.0
    _oldest: str = ""

    def oldest(self) -> str:
        now, monotonic = self.clock.now_ns(), self.clock.monotonic()
        ahead = now / 1e9 - monotonic
        if self._ahead is not None and abs(ahead - self._ahead) > JUMP_SECONDS:
            self._settled_at = monotonic + SETTLE_SECONDS
        self._ahead = ahead
        if monotonic >= self._settled_at or not self._oldest:
            self._oldest = oldest_day(now, self.days)
        return self._oldest

    @property
    def is_unsettled(self) -> bool:
        """The wall clock jumped a short while ago."""
        return self.clock.monotonic() < self._settled_at
