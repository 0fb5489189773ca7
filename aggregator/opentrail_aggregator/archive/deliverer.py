"""Bringing staged deliveries to their destination: objects first, manifests in order of cutting.

A destination that answers at once is served in the step itself; one that may block is served by a
few threads, and the step only looks what they have done. Whatever fails stays staged and is tried
again with a growing pause; the same bytes go under the same key each time, so nothing can double.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail_aggregator.archive.deliveries import Delivery, DeliveryFolder, StagedObject
from opentrail_aggregator.archive.destination import (
    Destination,
    DestinationError,
    ForeignObjectError,
)
from opentrail_aggregator.metrics import Metrics

PROBLEM = "archive.destination"
BACKLOG_PROBLEM = "archive.backlog"
FOREIGN_PROBLEM = "archive.foreign"
PAUSE_FIRST_SECONDS = 0.5
PAUSE_MAX_SECONDS = 10.0
PUTS_PER_STEP = 16
MANIFEST_LEAD = 64
"""How many deliveries ahead of the first unfinished one may have their objects on the way."""

OnDelivered = Callable[[Delivery, bytes], None]
"""Told of each delivery that is complete, with its manifest as stored, before it is forgotten; told
again after a crash."""


@dataclass(slots=True, eq=False)
class _Progress:
    delivery: Delivery
    waiting: list[StagedObject]
    flying: dict["Future[bool]", StagedObject] = field(default_factory=dict)
    foreign: list[StagedObject] = field(default_factory=list)
    """Their keys are taken by something else: looked at again after a long pause, alone."""
    look_again_at: float = 0.0
    manifest_sent: bool = False

    @property
    def all_stored(self) -> bool:
        return not (self.waiting or self.flying or self.foreign)


class Deliverer:
    """The queue of deliveries of one destination."""

    def __init__(
        self,
        destination: Destination,
        folder: DeliveryFolder,
        clock: Clock,
        metrics: Metrics,
        workers: int = 1,
        on_delivered: OnDelivered | None = None,
    ) -> None:
        self._destination = destination
        self._folder = folder
        self._clock = clock
        self._metrics = metrics
        self._queue: deque[_Progress] = deque()
        self._names: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        if destination.blocks:
            self._pool = ThreadPoolExecutor(workers, thread_name_prefix="deliver")
        self._workers = workers
        self._on_delivered = on_delivered
        self._pause = 0.0
        self._not_before = 0.0
        self._foreign: set[str] = set()
        self.stored_bytes = 0
        """Staged and not yet delivered."""

    def submit(self, delivery: Delivery) -> None:
        """Queue it behind the others; nothing happens if it is queued already."""
        if delivery.name in self._names:
            return
        self._names.add(delivery.name)
        self._queue.append(_Progress(delivery, list(delivery.objects)))
        self.stored_bytes += delivery.stored_bytes

    def find(self, name: str) -> Delivery | None:
        """A queued delivery by its name."""
        if name not in self._names:
            return None
        return next(each.delivery for each in self._queue if each.delivery.name == name)

    @property
    def pending(self) -> list[Delivery]:
        """Not yet delivered, in order."""
        return [each.delivery for each in self._queue]

    def step(self) -> bool:
        """Do what can be done now; True if there may be more at once."""
        moved = self._collect()
        if self._clock.monotonic() >= self._not_before:
            moved |= self._start()
        moved |= self._finish()
        self._metrics.set("opentrail_archive_lag_seconds", self._lag_seconds())
        return moved

    def close(self) -> None:
        """Stop; what is under way is staged and begins anew next time."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> bool:
        moved = False
        room = self._workers - sum(len(each.flying) for each in self._queue)
        room = room if self._pool is not None else PUTS_PER_STEP
        now = self._clock.monotonic()
        for place, progress in enumerate(self._queue):
            if place >= MANIFEST_LEAD:
                break
            if progress.foreign and now >= progress.look_again_at:
                progress.waiting += progress.foreign
                progress.foreign = []
            while progress.waiting and room > 0:
                room -= 1
                moved = True
                if not self._put(progress, progress.waiting.pop(0)):
                    return moved
            if place == 0 and progress.all_stored and not progress.manifest_sent:
                crash_point("archive.put")
                moved = progress.manifest_sent = True
                if not self._put(progress, progress.delivery.manifest):
                    return moved
            if room <= 0:
                break
        return moved

    def _put(self, progress: _Progress, staged: StagedObject) -> bool:
        """Begin one put; False if it failed at once and the others should wait."""
        if self._pool is not None:
            progress.flying[self._pool.submit(self._store, staged)] = staged
            return True
        done: Future[bool] = Future()
        try:
            done.set_result(self._store(staged))
        except DestinationError as error:
            done.set_exception(error)
        return self._take(progress, staged, done)

    def _store(self, staged: StagedObject) -> bool:
        path = self._folder.staged_path(staged.file)
        return self._destination.put_if_absent(staged.key, path, staged.info)

    def _collect(self) -> bool:
        moved = False
        for progress in self._queue:
            for future in [each for each in progress.flying if each.done()]:
                moved = True
                self._take(progress, progress.flying.pop(future), future)
        return moved

    def _take(self, progress: _Progress, staged: StagedObject, done: "Future[bool]") -> bool:
        error = done.exception()
        if error is None:
            self._succeeded(staged)
            return True
        if not isinstance(error, DestinationError):
            raise error
        self._metrics.increment("opentrail_archive_retries_total", reason=error.reason)
        if staged is progress.delivery.manifest:
            progress.manifest_sent = False
        elif isinstance(error, ForeignObjectError):
            progress.foreign.append(staged)
            progress.look_again_at = self._clock.monotonic() + PAUSE_MAX_SECONDS
        else:
            progress.waiting.append(staged)
        if isinstance(error, ForeignObjectError):
            self._foreign.add(staged.key)
            self._metrics.problem(FOREIGN_PROBLEM, str(error))
            if staged is not progress.delivery.manifest:
                return True  # It concerns this key only: the others go on.
        else:
            self._metrics.problem(PROBLEM, str(error))
        self._wait(error)
        return False

    def _finish(self) -> bool:
        moved = False
        while self._queue and self._queue[0].manifest_sent and not self._queue[0].flying:
            delivery = self._queue[0].delivery
            crash_point("archive.manifest")
            if self._on_delivered is not None:
                self._on_delivered(delivery, self._folder.read_staged(delivery.manifest.file))
            self._folder.remove(delivery)
            self._queue.popleft()
            self._names.discard(delivery.name)
            self.stored_bytes -= delivery.stored_bytes
            self._metrics.increment("opentrail_archive_objects_total", len(delivery.objects))
            self._metrics.increment("opentrail_archive_events_total", delivery.events)
            moved = True
        return moved

    def _succeeded(self, staged: StagedObject) -> None:
        self._pause = 0.0
        self._metrics.healed(PROBLEM)
        self._foreign.discard(staged.key)
        if not self._foreign:
            self._metrics.healed(FOREIGN_PROBLEM)

    def _wait(self, error: DestinationError) -> None:
        longer = min(max(self._pause * 2, PAUSE_FIRST_SECONDS), PAUSE_MAX_SECONDS)
        self._pause = PAUSE_MAX_SECONDS if error.holds else longer
        self._not_before = self._clock.monotonic() + self._pause

    def _lag_seconds(self) -> float:
        if not self._queue:
            return 0.0
        return max(0.0, (self._clock.now_ns() - self._queue[0].delivery.staged_at_ns) / 1e9)


def has_room(stored_bytes: int, staged_max: int, bucket: str, metrics: Metrics) -> bool:
    """Whether more may be staged while so much waits."""
    if stored_bytes <= staged_max:
        metrics.healed(BACKLOG_PROBLEM)
        return True
    metrics.problem(
        BACKLOG_PROBLEM,
        f"{stored_bytes} bytes wait for {bucket} (limit archive.staged_max {staged_max}): the log "
        "is not read until they are delivered",
    )
    return False
