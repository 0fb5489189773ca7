"""A followed source of objects, as a stage of the agent: poll, fetch, cut, spool, tell the feed.

Everything but the spool runs in one thread of its own. What the feed remembers is written after the
spool; a stop is a crash with manners.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from opentrail.clock import Clock

from ..capture.content import content_of
from ..capture.pieces import fragment_of
from ..capture.splitter import Place
from ..importing.cutting import As, Cutter, Step
from ..metrics import Metrics
from ..spool.writer import SpoolWriter
from .client import S3Error, make_client
from .feed import Feed, Poison
from .fetching import Fetched, Fetcher, Wanted
from .listing import BucketFeed
from .queue import QueueFeed
from .settings import S3SourceSettings

RETRY_SECONDS = 10.0
POISON_REASON = "bad_notification"
T = TypeVar("T")


class S3Following:
    """One source; `run` returns only by failing or being cancelled."""

    def __init__(
        self, settings: S3SourceSettings, state: Path, spool: SpoolWriter, clock: Clock,
        metrics: Metrics, *, retry_seconds: float = RETRY_SECONDS,
    ) -> None:  # fmt: skip
        self.name = f"s3 {settings.url}"
        self.reported_at_ns = 0
        """All that the source held at this time is in the spool."""
        self._settings = settings
        self._state = state
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._retry_seconds = retry_seconds
        self._is_stopping = False
        self._objects = 0
        self._problem = f"s3.{settings.url}"

    async def run(self) -> None:
        """Follow for ever."""
        thread = ThreadPoolExecutor(1, "s3-source")
        fetcher: Fetcher | None = None
        try:
            client, feed = await self._in(thread, self._open)
            fetcher = Fetcher(client, self._settings.client.workers, self._state)
            steps = self._steps(feed, fetcher)
            while True:
                step = await self._in(thread, next, steps)
                if isinstance(step, Step):
                    batch = step.batch
                    sequence = await self._spool.append(batch.payload, batch.events, batch.refused)
                    position = self._spool.standing.position(sequence)
                    await self._in(thread, feed.spooled, step.ended, position)
                    self._count(step)
                else:
                    await self._clock.sleep(step)
                await self._in(thread, self._settle, feed)
        finally:
            self._is_stopping = True
            if fetcher is not None:
                fetcher.close()
            thread.shutdown(wait=False, cancel_futures=True)

    def report(self) -> dict[str, Any]:
        """The source, as a heartbeat says it."""
        return {
            "name": self._settings.url, "position": self._objects, "size": self._objects,
            "generation": "", "kind": "follow", "ended": False,
        }  # fmt: skip

    def _open(self) -> tuple[Any, Feed]:
        settings = self._settings
        client = make_client(settings.client)
        if settings.queue:
            sqs = make_client(settings.client, "sqs", settings.queue_endpoint)
            return client, QueueFeed(settings, sqs, self._clock, self._metrics)
        return client, BucketFeed(settings, client, self._state, self._clock, self._metrics)

    def _steps(self, feed: Feed, fetcher: Fetcher) -> Iterator[Step | float]:
        """Batches, and how long to wait when there is none; never ends."""
        cutter = Cutter(As(account=self._settings.account, region=self._settings.region), "follow")
        while True:
            began = self._clock.now_ns()
            wait = feed.wait_seconds
            try:
                yield from self._poll(feed, fetcher, cutter)
                self._metrics.healed(self._problem)
                is_whole = feed.is_drained
            except S3Error as error:
                self._tell(error)
                wait, is_whole = max(wait, self._retry_seconds), False
            if cutter.has_more:
                yield cutter.seal()
            if is_whole:
                self.reported_at_ns = began
            yield wait

    def _poll(self, feed: Feed, fetcher: Fetcher, cutter: Cutter) -> Iterator[Step]:
        failures = []
        poisons: list[Poison] = []
        for fetched in fetcher.each(_wanted(feed, poisons, self._stops), self._stops):
            if fetched.error is None:
                yield from self._cut(fetched, cutter)
                continue
            if fetched.error.reason in ("held", "away"):
                raise fetched.error
            poison = feed.failed(fetched.wanted, fetched.error)
            if poison is not None:
                poisons.append(poison)
            elif fetched.error.reason != "gone":
                failures.append(fetched.error)
                self._metrics.increment("opentrail_agent_s3_errors_total",
                                        reason=fetched.error.reason)  # fmt: skip
        for poison in poisons:
            fragment = fragment_of(0, poison.data, POISON_REASON, poison.detail)
            cutter.refuse(poison.source, fragment)
            cutter.ended(poison.ticket)
        if failures:
            self._metrics.problem(
                f"{self._problem}.objects",
                f"{len(failures)} objects cannot be read and are tried again: {failures[0]}",
            )
        else:
            self._metrics.healed(f"{self._problem}.objects")

    def _cut(self, fetched: Fetched, cutter: Cutter) -> Iterator[Step]:
        assert fetched.file is not None
        yield from cutter.cut(
            fetched.wanted.url, content_of(fetched.file.fileno()), fetched.generation,
            fetched.length, Place(), is_stopping=self._stops,
        )  # fmt: skip
        if not self._is_stopping:
            cutter.ended(fetched.wanted.ticket)
            self._objects += 1

    def _settle(self, feed: Feed) -> None:
        try:
            feed.settle(self._spool.standing.acknowledged)
        except S3Error as error:
            self._tell(error)

    def _tell(self, error: S3Error) -> None:
        self._metrics.increment("opentrail_agent_s3_errors_total", reason=error.reason)
        self._metrics.problem(self._problem, f"{error}; tried again")

    def _count(self, step: Step) -> None:
        batch = step.batch
        self._metrics.increment("opentrail_agent_events_total", batch.events)
        self._metrics.increment("opentrail_agent_bytes_total", batch.raw_bytes)
        self._metrics.increment("opentrail_agent_refused_total", batch.refused)
        self._metrics.increment("opentrail_agent_s3_objects_total", len(step.ended))

    def _stops(self) -> bool:
        return self._is_stopping

    async def _in(
        self, thread: ThreadPoolExecutor, work: Callable[..., T], *arguments: object
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)


def _wanted(feed: Feed, poisons: list[Poison], is_stopping: Callable[[], bool]) -> Iterator[Wanted]:
    """The objects of a poll; what is poison is put aside."""
    for each in feed.poll(is_stopping):
        if isinstance(each, Poison):
            poisons.append(each)
        else:
            yield each
