"""Following files: runs the harvest and hands its batches to the spool.

    read, look ──► seal ──► append ──► settle
    (a thread)     (one)    (spool)    (in order, with the next turn)

While batches are sealed and made durable the next ones are read: at most UNDER_WAY_MAX are on their
way, so a spool that makes its caller wait soon stops the reading, and the files are where the rest
stays. A batch counts as spooled, and its positions may be written, only when `spool_append` has
returned for it and for those before it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files

from ..metrics import Metrics
from .batching import Draft
from .harvest import Harvest, Report, Turn
from .settings import CaptureSettings

SpoolAppend = Callable[[bytes, int, int, dict[str, int]], Awaitable[None]]
"""(payload, events, refused, generation -> offset) -> durable when it returns."""

RETRY_SECONDS = 1.0
LAST_SPOOL_SECONDS = 1.5
"""How long a stop waits for the batches that are on their way to the spool."""
UNDER_WAY_MAX = 4
"""Batches read and not durable yet: one is sealed, and a slow disk takes several with one sync."""

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
            under_way = _UnderWay()
            try:
                with ThreadPoolExecutor(1, "seal") as sealing:
                    await self._follow(stop, thread, sealing, under_way)
            finally:
                await under_way.cancel()
                await self._in(thread, self._harvest.close)

    async def _follow(
        self,
        stop: asyncio.Event,
        thread: ThreadPoolExecutor,
        sealing: ThreadPoolExecutor,
        under_way: "_UnderWay",
    ) -> None:
        spooled: list[Turn] = []
        while not stop.is_set():
            spooled = under_way.take_done()
            turn = await unless_stopped(stop, self._turn(thread, spooled), None)
            if turn is None:
                break
            if turn.draft is not None:
                under_way.add(turn, self._spool(sealing, turn.draft, turn.positions))
                if len(under_way) >= UNDER_WAY_MAX:
                    await unless_stopped(stop, under_way.first_done(), None)
            else:
                await unless_stopped(stop, self._pause(turn.wait_seconds, under_way), None)
        await under_way.all_done(LAST_SPOOL_SECONDS)
        await self._in(thread, self._harvest.settle, *spooled, *under_way.take_done())

    async def _pause(self, seconds: float, under_way: "_UnderWay") -> None:
        """Until there may be something to read, or something became durable."""
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await under_way.first_done(sleeping)
        finally:
            sleeping.cancel()

    def report(self) -> Report:
        """The sources' positions as they are in the spool, and the time by which that is all
        they held. A sequence read from the spool after this call covers the report."""
        return self._harvest.report

    def sources_report(self) -> list[dict[str, Any]]:
        """The sources of `report`."""
        return self._harvest.report.sources

    async def _turn(self, thread: ThreadPoolExecutor, spooled: list[Turn]) -> Turn:
        try:
            return await self._in(thread, self._harvest.turn, *spooled)
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

    async def _spool(
        self, sealing: ThreadPoolExecutor, draft: Draft, positions: dict[str, int]
    ) -> None:
        batch = await self._in(sealing, draft.seal)
        await self._append(batch.payload, batch.events, batch.refused, positions)
        self._crash("agent.spooled")


class _UnderWay:
    """Turns whose drafts are being sealed and spooled, oldest first."""

    def __init__(self) -> None:
        self._turns: deque[tuple[Turn, asyncio.Future[None]]] = deque()

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, turn: Turn, spooling: Coroutine[Any, Any, None]) -> None:
        # A task of its own: a stop must not forget a batch that the spool is just taking.
        self._turns.append((turn, asyncio.ensure_future(spooling)))

    def take_done(self) -> list[Turn]:
        """Those at the front that are durable by now; raises what made the first of them fail."""
        done: list[Turn] = []
        while self._turns and self._turns[0][1].done():
            turn, spooling = self._turns[0]
            spooling.result()
            self._turns.popleft()
            done.append(turn)
        return done

    async def first_done(self, *others: "asyncio.Future[None]") -> None:
        """Wait for the oldest, or for one of `others`."""
        oldest = [spooling for _, spooling in list(self._turns)[:1]]
        await asyncio.wait([*oldest, *others], return_when=asyncio.FIRST_COMPLETED)

    async def all_done(self, seconds: float) -> None:
        """Wait for all, but not for long."""
        if self._turns:
            await asyncio.wait([spooling for _, spooling in self._turns], timeout=seconds)

    async def cancel(self) -> None:
        """Give up what is not durable: it is read again."""
        for _, spooling in self._turns:
            spooling.cancel()
        await asyncio.gather(*(each for _, each in self._turns), return_exceptions=True)


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
