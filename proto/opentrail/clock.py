"""Time, as a seam: product code takes a `Clock`, tests move it by hand.

Two kinds of time are kept apart. `now_ns` is the wall clock (UTC) and may jump; it dates things.
`monotonic` never goes back; it measures spans and drives timers.
"""

import os
import time
from typing import Protocol

OFFSET_VARIABLE = "OPENTRAIL_CLOCK_OFFSET"
"""Seconds added to the wall clock, for trying out clock jumps and skewed hosts."""


class Clock(Protocol):
    """What the product knows of time."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC by the wall clock; may jump either way."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait, blocking this thread."""
        ...


class SystemClock:
    """The machine's clocks, the wall clock shifted by `OPENTRAIL_CLOCK_OFFSET` seconds."""

    def __init__(self) -> None:
        self._offset_ns = int(float(os.environ.get(OFFSET_VARIABLE) or 0) * 1_000_000_000)

    def now_ns(self) -> int:
        return time.time_ns() + self._offset_ns

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # A tenth of what most commands take from start to end, and few sleep.

        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)
