"""How often one key may call one operation: a bucket that fills by the clock."""

from collections import OrderedDict

from opentrail.clock import Clock
from opentrail_aggregator.cloudtrail.errors import ApiError

BUCKETS_MAX = 10_000
BURST_SECONDS = 2.0


class Throttle:
    """One bucket for each (key, operation); the least recently used go first."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._most = per_second * BURST_SECONDS
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, key_id: str, operation: str) -> None:
        """Count a call; ThrottlingException when it is one too many."""
        now = self._clock.monotonic()
        left, since = self._buckets.pop((key_id, operation), (self._most, now))
        left = min(self._most, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._buckets[key_id, operation] = (left - 1 if allowed else left, now)
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        if not allowed:
            raise ApiError("ThrottlingException", "Rate exceeded")
