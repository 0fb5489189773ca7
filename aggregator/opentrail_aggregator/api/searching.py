"""Runs searches, which block, in a few threads, and gives up those that nobody waits for.

A search that cannot begin because all threads are busy waits in line, its deadline already
running, so a crowd of slow questions cannot pile up work without end.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from opentrail.clock import Clock
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.search.engine import Deadline

_KEPT_TIMES = 1000
_TELL_SECONDS = 0.5
T = TypeVar("T")


class Searching:
    """A small pool of threads for blocking questions."""

    def __init__(self, threads: int, seconds: float, clock: Clock, metrics: Metrics) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._seconds = seconds
        self._clock = clock
        self._metrics = metrics
        self._times: deque[float] = deque(maxlen=_KEPT_TIMES)
        self._told_at = 0.0

    async def ask(self, question: Callable[[Deadline], T]) -> T:
        """The answer to `question`, which gets the deadline it has to keep.

        When the caller is cancelled (its client went away) the question is told so and the thread
        is free at the engine's next look.
        """
        deadline = Deadline(self._clock, self._seconds)
        started = self._clock.monotonic()

        def run() -> T:
            deadline.check()
            return question(deadline)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except asyncio.CancelledError:
            deadline.cancel()
            raise
        finally:
            self._note(self._clock.monotonic() - started)

    def close(self) -> None:
        """Let running questions end; take no new ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _note(self, seconds: float) -> None:
        self._times.append(seconds)
        now = self._clock.monotonic()
        if now - self._told_at < _TELL_SECONDS:
            return
        self._told_at = now
        ordered = sorted(self._times)
        for label, share in (("0.5", 0.5), ("0.99", 0.99)):
            place = min(int(len(ordered) * share), len(ordered) - 1)
            self._metrics.set("opentrail_search_seconds", ordered[place], quantile=label)
