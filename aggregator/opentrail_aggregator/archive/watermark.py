"""Up to when everything is delivered: the time that digests may speak about."""

from opentrail.clock import Clock

DURABLE_WITHIN_NS = 2_000_000_000
"""A frame is durable this soon after its time was taken; what takes longer comes late."""


class Watermark:
    """Only rises, also when a clock is set back: what comes from before it then is late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.at_ns = 0

    def rise(self, appended_at_ns: int, caught_up: bool) -> None:
        """Nothing is on its way. `appended_at_ns` is of the last frame that was read; with
        `caught_up` there is no other."""
        now_ns = self._clock.now_ns() - DURABLE_WITHIN_NS
        self.at_ns = max(self.at_ns, appended_at_ns, now_ns if caught_up else 0)
