"""The role `opensearch`: follows the log into the cluster, for as long as it runs.

    step:  read a little of the log ─► documents ─► a sender thread ─► in ─► cursor

`step` itself never waits for the network: opening, sending and dropping days are jobs of sender
threads. Batches are under way side by side and are accounted for in the order of the log, so the
cursor never passes an event that is not in. A cluster that is away or refuses costs a pause and a
sentence in health; the log holds what it has not got yet.
"""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.errors import OpenTrailError
from opentrail.segment.frame import Damage
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.archived import ArchiveSource
from opentrail_aggregator.index.retention import RetentionClock
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.delivery import Batch, Sender, StoppedError
from opentrail_aggregator.opensearch.held import Held
from opentrail_aggregator.opensearch.place import NAME, Place, commit_place, read_place
from opentrail_aggregator.opensearch.reading import Reading
from opentrail_aggregator.opensearch.settings import OpenSearchSections
from opentrail_aggregator.wal.cursors import DIRECTORY, Cursors
from opentrail_aggregator.wal.disk_reader import open_reader

_PAUSE_MIN, _PAUSE_MAX = 0.5, 10.0  # Health sees the end of an outage within 15 s.
_CURSOR_SECONDS = 0.5
_CATCH_UP_EVENTS = 500


@dataclass(slots=True)
class _Flight:
    """A batch under way, and the place in the log once it and all before it are in."""

    future: "Future[Batch]"
    place: Place
    appended_at_ns: int


class OpenSearchIndexer:
    """A log consumer role: `step` does a bounded piece of work."""

    name = NAME

    def __init__(
        self,
        home: Home,
        settings: OpenSearchSections,
        clock: Clock,
        metrics: Metrics,
        *,
        archive: ArchiveSource | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self._home = home
        self._settings = settings.opensearch
        self._clock = clock
        self._metrics = metrics
        self._archive = archive
        self._retention = RetentionClock(clock, settings.retention.days)
        self._log = open_reader(home)
        self._verdicts = VerdictReader(home)
        self._cluster = cluster or Cluster(self._settings)
        self._stop = threading.Event()
        self._sender = Sender(self._cluster, clock, metrics, self._stop)
        self._threads = ThreadPoolExecutor(self._settings.senders + 1, "opensearch")
        self._held = Held(home.opensearch)
        self._cursors: Cursors | None = None
        self._done = Place()
        """Everything through here is in, in memory; the cursor follows."""
        self._written = Place()
        self._reading: Reading | None = None
        self._flights: deque[_Flight] = deque()
        self._job: Future[Any] | None = None
        self._catching_up: Iterator[None] | None = None
        self._cursor_at = self._again_at = self._pause = 0.0

    def step(self) -> bool:
        """Read, send and account for a little; True if there may be more to do at once."""
        if self._clock.monotonic() < self._again_at:
            return False
        try:
            return self._step()
        except (OpenTrailError, OSError, ValueError) as error:
            self._fail(error)
            return False

    def _step(self) -> bool:
        reading = self._opened()
        if reading is None:
            return False
        came_in = self._account()
        oldest = self._retention.oldest()
        if self._must_drop(reading, oldest):
            return came_in
        # One batch is read ahead while as many as the cluster takes are under way.
        is_full = len(self._flights) >= self._sender.limit.senders
        if is_full and reading.size >= self._sender.limit.now:
            return came_in
        frames = self._read(reading, oldest)
        is_ready = reading.size >= self._sender.limit.now or not (frames or self._catching_up)
        if is_ready and not is_full:
            self._send(reading)
        return came_in or frames > 0

    def _opened(self) -> Reading | None:
        """Where reading is; None while the cluster is looked at or has a job to do first."""
        if self._job is not None:
            if not self._job.done():
                return None
            job, self._job = self._job, None
            result = job.result()
            if self._reading is None:
                self._begin(*result)
            elif self._done.dropping:
                self._done = replace(self._done, dropping=())
                self._commit()
                self._reading.place = replace(self._reading.place, dropping=())
            else:
                self._count_dropped(self._reading, result)
        elif self._reading is None:
            try:
                log_id = self._log.log_id
            except (OpenTrailError, OSError):
                return None  # Ingest has not made the log yet.
            self._cursors = Cursors(self._home.log / DIRECTORY, log_id)
            self._job = self._threads.submit(self._open, read_place(self._cursors))
        return self._reading if self._job is None else None

    def _open(self, place: Place) -> tuple[str, Place, set[str]]:
        """In a thread: make the cluster ready, and finish what a crash left half done."""
        told = self._cluster.install_template()
        for day in place.dropping:
            self._cluster.drop_day(day)
        return told, replace(place, dropping=()), self._cluster.days()

    def _begin(self, told: str, place: Place, days: set[str]) -> None:
        if told:
            self._metrics.problem("opensearch.template", told)
        else:
            self._metrics.healed("opensearch.template")
        self._done = place
        self._commit()
        self._reading = Reading(
            self._log, self._verdicts, place, days, self._tell_damage,
            has_words=self._cluster.settings.free_text,
        )  # fmt: skip
        self._pause = 0.0
        self._metrics.healed("opensearch.failed")
        self._tell_held()

    def _account(self) -> bool:
        """Pass what is in, in the order of the log."""
        came_in = False
        while self._flights and self._flights[0].future.done():
            flight = self._flights.popleft()
            batch = flight.future.result()
            for day, document, reason in batch.held:
                self._held.put(document, day, reason)
            if batch.held:
                self._tell_held()
            earlier = self._done.earlier + batch.earlier
            self._done = replace(flight.place, earlier=earlier, dropping=())
            came_in = True
        reading = self._reading
        is_all_in = reading is not None and not self._flights and not reading.documents
        if is_all_in and reading is not None and self._catching_up is None:
            self._done = replace(reading.place, earlier=self._done.earlier, dropping=())
        now = self._clock.monotonic()
        if self._done != self._written and now >= self._cursor_at:
            self._commit()
            self._cursor_at = now + _CURSOR_SECONDS
        self._report()
        return came_in

    def _must_drop(self, reading: Reading, oldest: str) -> bool:
        """Whether days are to be dropped first; reading waits until that is done."""
        gone = tuple(sorted(day for day in reading.days if day < oldest))
        if not gone or self._retention.is_unsettled:
            return False
        if reading.documents:
            self._send(reading)
        if not self._flights and self._done.position == reading.place.position:
            if self._done != self._written:
                self._commit()
            self._job = self._threads.submit(self._count_gone, gone)
        return True

    def _count_gone(self, gone: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """In a thread: how many events expire with these days."""
        self._cluster.refresh()
        counts = self._cluster.counts(self._log.log_id, self._done.position)
        return gone, sum(counts.get(day, 0) for day in gone)

    def _count_dropped(self, reading: Reading, counted: tuple[tuple[str, ...], int]) -> None:
        """One write moves the events from the days into the ledger; indices go after it."""
        gone, documents = counted
        self._done = replace(self._done, expired=self._done.expired + documents, dropping=gone)
        reading.place = replace(reading.place, expired=self._done.expired)
        reading.days.difference_update(gone)
        self._commit()
        crash_point("opensearch.days.counted")
        self._job = self._threads.submit(self._drop, gone)

    def _drop(self, gone: tuple[str, ...]) -> None:
        for day in gone:
            self._cluster.drop_day(day)

    def _read(self, reading: Reading, oldest: str) -> int:
        """Frames read, or events caught up with; 0 if there is nothing more now."""
        if self._catching_up is not None:
            for count in range(_CATCH_UP_EVENTS):
                if reading.size >= self._sender.limit.now:
                    return count + 1
                if next(self._catching_up, self) is self:
                    self._catching_up = None
                    self._metrics.healed("opensearch.hole")
                    self._tell_missing(reading)
                    self._send(reading)
                    return count + 1
            return _CATCH_UP_EVENTS
        first = self._log.first_position()
        if first > reading.place.position + 1:
            self._send(reading)
            self._metrics.problem(
                "opensearch.hole",
                f"the log begins at position {first}, OpenSearch has what came through "
                f"{reading.place.position}: what lies between is read from the archive"
                + ("" if self._archive else ", which is not available: those events are missing"),
            )
            self._catching_up = reading.catch_up(first, self._archive, oldest)
            return 1
        return reading.read(oldest)

    def _send(self, reading: Reading) -> None:
        documents, place = reading.take()
        if not documents:
            return
        future = self._threads.submit(self._sender.deliver, Batch(documents))
        self._flights.append(_Flight(future, place, reading.appended_at_ns))

    def _commit(self) -> None:
        assert self._cursors is not None
        crash_point("opensearch.before.cursor")
        commit_place(self._cursors, self._done, can_catch_up=self._archive is not None)
        crash_point("opensearch.cursor.written")
        self._written = self._done

    def _report(self) -> None:
        began = self._flights[0].appended_at_ns if self._flights else 0
        lag = (self._clock.now_ns() - began) / 1e9 if began else 0.0
        self._metrics.set("opentrail_opensearch_lag_seconds", max(0.0, lag))
        self._metrics.set("opentrail_opensearch_position", self._done.position)
        self._metrics.set("opentrail_opensearch_expired_total", self._done.expired)
        self._metrics.set("opentrail_opensearch_body_bytes", self._sender.limit.now)
        self._metrics.set("opentrail_opensearch_senders", self._sender.limit.senders)

    def _tell_held(self) -> None:
        self._metrics.set("opentrail_opensearch_held", len(self._held.keys))
        if self._held.keys:
            self._metrics.problem(
                "opensearch.held",
                f"{len(self._held.keys)} events were refused by OpenSearch in every form and lie "
                f"in {self._held.path} with its reasons",
            )

    def _tell_missing(self, reading: Reading) -> None:
        if reading.place.missing:
            self._metrics.problem(
                "opensearch.missing",
                f"{reading.place.missing} kept events are neither in the log nor in the archive "
                "and cannot be searched in OpenSearch",
            )

    def _tell_damage(self, damage: Damage) -> None:
        self._metrics.problem(
            "opensearch.damage",
            f"log positions {damage.first} to {damage.last} cannot be read ({damage.reason}); what "
            "was kept of them is counted as missing; opentrail-aggregator wal check says more",
        )

    def _fail(self, error: Exception) -> None:
        self._pause = min(_PAUSE_MAX, max(_PAUSE_MIN, self._pause * 2))
        self._again_at = self._clock.monotonic() + self._pause
        if not isinstance(error, StoppedError):
            self._metrics.problem(
                "opensearch.failed",
                f"{self._settings.url}: {type(error).__name__}: {error}; nothing is lost, tried "
                f"again in {self._pause:g} s from the last cursor",
            )
        # What is still under way may end as it likes: it is sent again and found there.
        self._flights.clear()
        self._job = self._reading = self._catching_up = None

    def close(self) -> None:
        """Account for what is in; a crash here costs only work."""
        self._stop.set()
        self._cluster.wire.abort()
        self._threads.shutdown(wait=True, cancel_futures=True)
        try:
            if self._reading is not None:
                while self._flights and not self._flights[0].future.cancelled():
                    if self._flights[0].future.exception() is not None:
                        break
                    self._account()
                if self._done != self._written:
                    self._commit()
        except (OpenTrailError, OSError, ValueError) as error:
            self._fail(error)
        self._cluster.wire.end()
        self._held.close()

    @property
    def position(self) -> int:
        """The last log position that the cursor tells as accounted for."""
        return self._written.position

    @property
    def is_idle(self) -> bool:
        """Nothing is read, under way or about to be dropped."""
        return (
            self._reading is not None
            and self._job is None
            and not self._flights
            and not self._reading.documents
            and self._done == self._written
        )
