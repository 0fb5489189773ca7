"""Which reader holds the log back, since when, and how long until the log is full of it.

A log that fills has one cause at a time: the reader that stands furthest behind of those that the
release rule waits for. Pure values; ingest looks once a second.
"""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

SHOWN_FROM = 0.5
"""Share of log.max_bytes from which a reader that holds it back is named."""
STANDS_SECONDS = 10.0
"""A reader that moved within this time is only slow."""
WINDOW_SECONDS = 60.0


class Holdup:
    """Looks now and then and remembers since when."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._stood: dict[str, tuple[int, float, int]] = {}
        """Reader -> the position it holds, since when (monotonic; nanoseconds since 1970)."""
        self._sizes: deque[tuple[float, int]] = deque()
        self.text = ""
        """What a person has to know; empty while nobody holds the log back."""

    def look(
        self, now: float, now_ns: int, limits: Mapping[str, int], durable: int, size_bytes: int
    ) -> None:
        """`limits` is, of each reader, the last position that may go as far as it is concerned."""
        for name, limit in limits.items():
            before = self._stood.get(name)
            if before is None or before[0] != limit:
                self._stood[name] = (limit, now, now_ns)
        self._sizes.append((now, size_bytes))
        while now - self._sizes[0][0] > WINDOW_SECONDS:
            self._sizes.popleft()
        self.text = self._told(now, limits, durable, size_bytes)

    def _told(self, now: float, limits: Mapping[str, int], durable: int, size_bytes: int) -> str:
        if not limits or size_bytes < self._max_bytes * SHOWN_FROM:
            return ""
        name = min(limits, key=lambda each: limits[each])
        limit, since, since_ns = self._stood[name]
        if limit >= durable or now - since < STANDS_SECONDS:
            return ""
        at = datetime.fromtimestamp(since_ns // 1_000_000_000, UTC)
        return (
            f"{name} holds the log back: it has stood at position {limit} of {durable} since "
            f"{at:%Y-%m-%dT%H:%M:%SZ}, {size_bytes} of {self._max_bytes} bytes (log.max_bytes) are "
            f"used, {self._until_full(size_bytes)}"
        )

    def _until_full(self, size_bytes: int) -> str:
        left = self._max_bytes - size_bytes
        (then, size_then), (now, _) = self._sizes[0], self._sizes[-1]
        grown = size_bytes - size_then
        if left <= 0:
            return "it is full and agents wait"
        if grown <= 0 or now <= then:
            return "and it does not grow now"
        return f"full in about {left * (now - then) / grown:.0f} s at the rate of the last minute"
