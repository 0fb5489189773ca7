"""Following files: runs the harvest and hands its batches to the spool.

While one batch is being made durable the next one is read and sealed; if the spool makes its caller
wait, at most that one waits with it, and the files are where the rest stays. A batch counts as
spooled, and its positions may be written, only when `spool_append` has returned.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files

from ..metrics import Metrics
from .harvest import Harvest, Report, Turn
from .settings import CaptureSettings

SpoolAppend = Callable[[bytes, int, int, dict[str, int]], Awaitable[None]]
"""(payload, events, refused, generation -> offset) -> durable when it returns."""

RETRY_SECONDS = 1.0
LAST_SPOOL_SECONDS = 1.5
"""How long a stop waits for the batch that is on its way to the spool."""

T = TypeVar("T")


class Capture:
    """All followed files of this agent."""

    name = "capture"

    def __init__(
        self,
        settings: CaptureSettings,
        directory: Path,
        clock: Clock,
        spool_append: SpoolAppend,
        metrics: Metrics | None = None,
        *,
        files: Files = DISK,
        crash: Callable[[str], None] = crash_point,
    ) -> None:
        """`directory` is where the positions are kept; `crash` is for tests."""
        self._clock = clock
        self._metrics = metrics or Metrics(clock)
        self._append = spool_append
        self._crash = crash
        self._harvest = Harvest(settings, directory, clock, self._metrics, files, crash)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`; safe to cancel at any await: a stop is a crash with manners."""
        # One thread: a turn that was given up ends before the harvest is closed.
        with ThreadPoolExecutor(1, "capture") as thread:
            await self._in(thread, self._harvest.open)
            try:
                await self._follow(stop, thread)
            finally:
                await self._in(thread, self._harvest.close)

    async def _follow(self, stop: asyncio.Event, thread: ThreadPoolExecutor) -> None:
        pending: Turn | None = None  # its batch is on its way to the spool
        spooled: Turn | None = None  # its batch is there
        while not stop.is_set():
            spooling = asyncio.ensure_future(self._spool(pending))
            try:
                # Shielded: a stop must not forget a batch that the spool is just taking.
                turn, is_spooled = await unless_stopped(
                    stop,
                    _both(self._turn(thread, spooled), asyncio.shield(spooling)),
                    (None, False),
                )
                if stop.is_set() and not is_spooled:
                    is_spooled = await self._last_moment(spooling)
            finally:
                spooling.cancel()
            if turn is None and spooled is not None:
                await self._in(thread, self._harvest.settle, spooled)
            spooled = pending if is_spooled else None
            pending = turn if turn is not None and turn.batch is not None else None
            if pending is None and spooled is None and turn is not None:
                await unless_stopped(stop, self._clock.sleep(turn.wait_seconds), None)
        if spooled is not None:
            await self._in(thread, self._harvest.settle, spooled)

    async def _last_moment(self, spooling: "asyncio.Future[bool]") -> bool:
        """Whether the batch under way became durable: then it need not be read again."""
        done, _ = await asyncio.wait((spooling,), timeout=LAST_SPOOL_SECONDS)
        return bool(done) and not spooling.cancelled() and spooling.result()

    def report(self) -> Report:
        """The sources' positions as they are in the spool, and the time by which that is all
        they held. A sequence read from the spool after this call covers the report."""
        return self._harvest.report

    def sources_report(self) -> list[dict[str, Any]]:
        """The sources of `report`."""
        return self._harvest.report.sources

    async def _turn(self, thread: ThreadPoolExecutor, spooled: Turn | None) -> Turn:
        try:
            return await self._in(thread, self._harvest.turn, spooled)
        except OSError as error:
            self._metrics.problem(
                "capture.positions",
                f"the positions of the sources cannot be written ({error}): reading waits",
            )
            return Turn(wait_seconds=RETRY_SECONDS)

    async def _in(
        self, thread: ThreadPoolExecutor, work: Callable[..., T], *arguments: object
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)

    async def _spool(self, turn: Turn | None) -> bool:
        if turn is None or turn.batch is None:
            return False
        batch = turn.batch
        await self._append(batch.payload, batch.events, batch.refused, turn.positions)
        self._crash("agent.spooled")
        return True


async def _both(first: Awaitable[T], second: Awaitable[bool]) -> tuple[T, bool]:
    one, two = await asyncio.gather(first, second)
    return one, two


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T], otherwise: T) -> T:
    """The result of `work`, or `otherwise` if `stop` is set first; `work` is cancelled then."""
    doing = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not doing.done():
            doing.cancel()
        await asyncio.wait((doing, stopping))
    return otherwise if doing.cancelled() else doing.result()
