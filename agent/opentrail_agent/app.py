"""The map of the agent: its stages in the order in which an event passes them.

    files ──> capture ──> spool ──> shipper ══> aggregator
              positions   segments  (nothing)
              on disk     on disk

Each arrow is durable before the next begins, so any of them may be killed at any moment.
`run_agent` follows files for ever; `run_once` is for an import or a pipe: it ends when all that was
read is acknowledged.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from opentrail.clock import Clock
from opentrail.errors import LockedError
from opentrail.files import FileLock
from opentrail_agent.capture.following import Capture
from opentrail_agent.config import AgentSettings
from opentrail_agent.enrolment.renewal import Renewal
from opentrail_agent.lifecycle import Stage, run_stages
from opentrail_agent.metrics import Metrics
from opentrail_agent.ship.heartbeat import Report
from opentrail_agent.ship.shipper import Shipper
from opentrail_agent.spool.room import Room, free_bytes
from opentrail_agent.spool.settings import SpoolSettings
from opentrail_agent.spool.spool import LOCK, Spool
from opentrail_agent.spool.writer import SpoolWriter
from opentrail_agent.status import StatusWriter

if TYPE_CHECKING:
    from opentrail_agent.s3.following import S3Following

LOCK_SECONDS = 10.0
"""A process that was killed just now may still hold its lock while the kernel takes it down."""
_LOCK_POLL_SECONDS = 0.05

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


async def run_agent(
    settings: AgentSettings, stop: asyncio.Event, clock: Clock, metrics: Metrics | None = None
) -> None:
    """Follow, keep and ship until `stop`; raises what made a stage fail."""
    metrics = metrics or Metrics(clock)
    keeps = settings.ship.release == "archived"
    where = settings.spool_directory
    async with open_spool(settings.spool, where, clock, metrics, keeps=keeps) as spool:
        capture = Capture(
            settings.capture_with_defaults, settings.state, clock, spool.keep, metrics
        )

        buckets = _buckets(settings, spool, clock, metrics)

        def report() -> Report:
            found = capture.report()
            reached = [found.reported_at_ns, *(each.reported_at_ns for each in buckets)]
            sources = [*(each.report() for each in buckets), *found.sources]
            return Report(min(reached), sources)

        shipper = Shipper(settings.ship, settings.name, spool, report, clock, metrics)
        status = StatusWriter(settings.status_path, settings.name, spool, report, clock, metrics)
        renewal = Renewal(settings.ship, settings.name, settings.state, clock, metrics)
        following = _Following(capture, stop)
        _log.info("agent %s runs, state in %s", settings.name, settings.state)
        stages: list[Stage] = [following, *buckets, spool, shipper, renewal, status]
        await run_stages(stages, stop, stopping=[following])


def _buckets(
    settings: AgentSettings, spool: SpoolWriter, clock: Clock, metrics: Metrics
) -> "list[S3Following]":
    if not settings.s3_with_defaults:
        return []
    # Imported when needed: it is a sixth of the start of all those agents that have no bucket.
    from opentrail_agent.s3.following import S3Following

    return [
        S3Following(each, settings.state, spool, clock, metrics)
        for each in settings.s3_with_defaults
    ]


async def run_once(
    settings: AgentSettings,
    state: Path,
    read: Callable[[SpoolWriter], Awaitable[Result]],
    report: Callable[[], Report],
    waiting: Callable[[int], None],
    stop: asyncio.Event,
    clock: Clock,
) -> tuple[Result, bool]:
    """Read once into the spool in `state` and ship until all is acknowledged.

    Returns what `read` returned, and whether everything is in the aggregator's log; the rest waits
    in the spool for the next time. `waiting` is told now and then how many batches are unsent.
    """
    metrics = Metrics(clock)
    async with open_spool(settings.spool, state / "spool", clock, metrics) as spool:
        shipper = Shipper(settings.ship, settings.name, spool, report, clock, metrics)
        shipping = asyncio.create_task(shipper.run())
        failing = asyncio.create_task(spool.run())
        telling = asyncio.create_task(_tell(spool, waiting, clock))
        try:
            reading = asyncio.ensure_future(read(spool))
            await asyncio.wait((reading, failing), return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                reading.cancel()
                failing.result()
            result = await reading
            if not stop.is_set():
                shipper.finish()
                stopping = asyncio.create_task(stop.wait())
                await asyncio.wait(
                    (shipping, failing, stopping), return_when=asyncio.FIRST_COMPLETED
                )
                stopping.cancel()
            is_sent = shipping.done()
            if is_sent:
                shipping.result()
                waiting(spool.backlog_batches)
            return result, is_sent
        finally:
            for task in (shipping, failing, telling):
                task.cancel()
            await asyncio.gather(shipping, failing, telling, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_spool(
    settings: SpoolSettings,
    directory: Path,
    clock: Clock,
    metrics: Metrics,
    *,
    keeps: bool = False,
) -> AsyncIterator[SpoolWriter]:
    """The spool in `directory`, owned by this process until the block ends.

    `keeps`: it keeps batches until they are archived.
    """
    lock = await _own(directory, clock)
    try:
        room = Room(settings.max_bytes, settings.reserve_bytes, partial(free_bytes, directory))
        spool = await asyncio.to_thread(
            partial(
                Spool,
                directory,
                clock,
                segment_bytes=settings.segment_bytes,
                keeps_until_archived=keeps,
            )
        )
        writer = SpoolWriter(spool, room, clock, metrics)
        try:
            yield writer
        finally:
            await writer.close()
    finally:
        lock.release()


async def _own(directory: Path, clock: Clock) -> FileLock:
    lock = FileLock(directory / LOCK)
    until = clock.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock.acquire()
            return lock
        except LockedError as error:
            if clock.monotonic() >= until:
                raise LockedError(
                    f"{error}; waited {LOCK_SECONDS:g} s: stop that agent, or give this one a "
                    "`state` of its own"
                ) from None
        await clock.sleep(_LOCK_POLL_SECONDS)


async def _tell(spool: SpoolWriter, waiting: Callable[[int], None], clock: Clock) -> None:
    while True:
        waiting(spool.backlog_batches)
        await clock.sleep(0.2)


class _Following:
    """Capture as a stage: it returns by itself when it is told to stop."""

    name = "capture"

    def __init__(self, capture: Capture, stop: asyncio.Event) -> None:
        self._capture = capture
        self._stop = stop

    async def run(self) -> None:
        await self._capture.run(self._stop)
