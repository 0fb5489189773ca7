"""When the disk, or the log's share of it, will be full if things go on as they do now."""

from collections import deque
from dataclasses import dataclass

WINDOW_SECONDS = 600.0
SAMPLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Room:
    """What is taken, what is left, and how long it lasts."""

    free_bytes: int
    reserve_bytes: int
    log_bytes: int
    log_max_bytes: int
    bytes_per_second: float
    seconds_to_full: float | None
    """Until the reserve or the log's limit is reached; None while nothing grows."""


class Trend:
    """Looks at the disk now and then and tells which way it goes."""

    def __init__(self, reserve_bytes: int, log_max_bytes: int) -> None:
        self._reserve_bytes = reserve_bytes
        self._log_max_bytes = log_max_bytes
        self._samples: deque[tuple[float, int, int]] = deque()

    def look(self, now: float, free_bytes: int, log_bytes: int) -> Room:
        """Take note of the state at `now` (monotonic) and judge the last ten minutes."""
        samples = self._samples
        if not samples or now - samples[-1][0] >= SAMPLE_SECONDS:
            samples.append((now, free_bytes, log_bytes))
        while now - samples[0][0] > WINDOW_SECONDS:
            samples.popleft()
        then, free_then, log_then = samples[0]
        seconds = now - then
        taken = (free_then - free_bytes) / seconds if seconds >= SAMPLE_SECONDS else 0.0
        grown = (log_bytes - log_then) / seconds if seconds >= SAMPLE_SECONDS else 0.0
        ends = []
        if taken > 0:
            ends.append(max(free_bytes - self._reserve_bytes, 0) / taken)
        if grown > 0:
            ends.append(max(self._log_max_bytes - log_bytes, 0) / grown)
        return Room(
            free_bytes,
            self._reserve_bytes,
            log_bytes,
            self._log_max_bytes,
            max(taken, 0.0),
            min(ends, default=None),
        )
