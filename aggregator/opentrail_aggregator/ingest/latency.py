"""How long agents wait for an acknowledgement: quantiles over the last minute, bounded memory."""

from collections import deque

WINDOW_SECONDS = 60.0
SAMPLES_MAX = 4096


class Latencies:
    """A sliding window of waits."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)

    def add(self, now: float, seconds: float) -> None:
        self._samples.append((now, seconds))

    def quantiles(self, now: float, *wanted: float) -> list[float]:
        """The waits at `wanted` shares; zeros if there was nothing in the last minute."""
        while self._samples and self._samples[0][0] < now - WINDOW_SECONDS:
            self._samples.popleft()
        waits = sorted(seconds for _, seconds in self._samples)
        if not waits:
            return [0.0 for _ in wanted]
        return [waits[min(int(share * len(waits)), len(waits) - 1)] for share in wanted]
