"""The spool for asyncio: one thread that writes, groups commits and never gives up on a disk.

    append()  ─┐                        ┌─> futures, resolved after the sync
    append()  ─┼─> pending ─> thread ───┤
    acknowledge┘   (≤ 1.5 MB a group)   └─> standing, at most every 0.2 s; segments dropped

A commit costs about 0.3 ms whatever it holds, so what waits together is written together. Above
1.5 MB one write gets slower than two. When the disk fails, nothing of the group is promised: the
segment is cut back to what was synced, opened again, and the rest of the group is written anew, for
as long as it takes. Its callers wait meanwhile, and so do the sources behind them.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from opentrail.clock import Clock
from opentrail.errors import LimitError, OpenTrailError
from opentrail.limits import BATCH_MAX_BYTES
from opentrail_agent.metrics import Metrics
from opentrail_agent.spool.aside import Aside
from opentrail_agent.spool.outgoing import Outgoing, read_outgoing
from opentrail_agent.spool.room import Room
from opentrail_agent.spool.spool import Sealed, Spool
from opentrail_agent.spool.standing import Standing
from opentrail_agent.spool.waiting import Change, Waiting, reject, resolve

_log = logging.getLogger(__name__)

GROUP_BYTES = 1_500_000
STANDING_SECONDS = 0.2
"""How much acknowledgement a crash may forget: those batches are sent again and known again."""
RETRY_SECONDS = 1.0
ROOM_SECONDS = 0.5
"""How often a full spool looks whether the disk has room again."""
CLOSE_SECONDS = 3.0


class SpoolStoppedError(OpenTrailError):
    """The spool was closed, or its thread failed, before a batch was durable."""


@dataclass(slots=True)
class _Work:
    group: list[Waiting] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    acknowledged: int | None = None
    archived: int | None = None


class SpoolWriter:
    """The spool as the other stages see it. Made and used on one event loop."""

    name = "spool"

    def __init__(self, spool: Spool, room: Room, clock: Clock, metrics: Metrics) -> None:
        self._spool = spool
        self._room = room
        self._clock = clock
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Condition()
        self._pending: deque[Waiting] = deque()
        self._in_hand: list[Waiting] = []
        self._changes: deque[Change] = deque()
        self._pending_bytes = 0
        self._acknowledged = spool.standing.acknowledged
        self._archived = spool.standing.archived
        self._standing_due = 0.0
        self._closing = False
        self._durable = spool.durable
        self._turnstile = asyncio.Lock()  # Batches enter in the order in which they came.
        self._room_signal = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._reader = spool.reader()
        self.aside = Aside(spool.directory)
        self._reading = ThreadPoolExecutor(1, "spool-reader")
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        for note in spool.notes:
            metrics.increment("opentrail_agent_spool_repairs_total")
            _log.warning("spool: %s", note)
        self._thread.start()

    # What the stages call, on the event loop.

    @property
    def standing(self) -> Standing:
        """Whose numbers these are and how far they are acknowledged, the latest known."""
        return self._spool.standing.acknowledge(self._acknowledged)

    @property
    def last_sequence(self) -> int:
        """The highest number that survives a power cut."""
        return self.standing.sequence(self._durable)

    @property
    def first_sequence(self) -> int:
        """The lowest number that is still on disk."""
        return self.standing.sequence(self._spool.first_position)

    @property
    def backlog_batches(self) -> int:
        return self._durable - self._acknowledged

    @property
    def held_bytes(self) -> int:
        return self._spool.held_bytes + self.aside.held_bytes

    def on_growth(self, listener: Callable[[], None]) -> None:
        """Call `listener` on the event loop whenever there is more to send."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """End only by raising what stopped the writer's thread."""
        await asyncio.shield(self._failed)

    async def keep(
        self, payload: bytes, events: int, refused: int, positions: Mapping[str, int]
    ) -> None:
        """`append` as sources call it; `positions` are theirs to remember when this returned."""
        await self.append(payload, events, refused)

    async def append(self, payload: bytes, events: int, refused: int) -> int:
        """Keep a sealed batch; its sequence, once it survives a power cut.

        Waits while the spool is full or the disk fails: that is the backpressure. Cancelled, the
        batch may or may not be kept; the source reads it again and identity sorts it out.
        """
        if len(payload) > BATCH_MAX_BYTES:
            raise LimitError(f"{len(payload)} bytes, more than BATCH_MAX_BYTES {BATCH_MAX_BYTES}")
        future: asyncio.Future[int] = self._loop.create_future()
        async with self._turnstile:
            await self._wait_for_room(len(payload))
            with self._lock:
                self._refuse_if_stopped()
                self._pending.append(Waiting(Sealed(payload, events, refused), future))
                self._pending_bytes += len(payload)
                self._lock.notify()
        return self.standing.sequence(await future)

    def acknowledge(self, sequence: int) -> None:
        """The aggregator holds everything up to `sequence`; forgotten soon, in the background."""
        position = self.standing.position(sequence)
        assert position <= self._durable, "an acknowledgement of what was never sent"
        with self._lock:
            self._acknowledged = max(self._acknowledged, position)
            self._lock.notify()

    def archive(self, sequence: int) -> None:
        """Everything up to `sequence`, which is acknowledged, is in the archive."""
        position = min(self.standing.position(sequence), self._acknowledged)
        with self._lock:
            self._archived = max(self._archived, position)
            self._lock.notify()

    async def bind(self, log_id: str, *, acknowledged_through: int | None = None) -> None:
        """Durable when this returns: no batch goes to a log before the spool remembers it.

        `acknowledged_through`: the new log holds no more than this of what another acknowledged.
        """
        through = None if acknowledged_through is None else self.standing.position(
            acknowledged_through
        )  # fmt: skip
        await self._change(lambda: self._bind(log_id, through))

    async def begin_epoch(self, *, after_sequence: int, lost: int = 0) -> None:
        """Send everything behind `after_sequence` under new numbers."""
        after = self.standing.position(after_sequence)
        await self._change(lambda: self._begin_epoch(after, lost))

    async def read(self, after_sequence: int, max_bytes: int) -> list[Outgoing]:
        """The batches behind `after_sequence`, ready to be sent; empty if there is none yet."""
        standing = self.standing
        return await self._loop.run_in_executor(
            self._reading,
            read_outgoing,
            self._reader,
            self.aside,
            standing,
            after_sequence,
            self._durable,
            max_bytes,
        )

    async def set_aside(self, sequence: int, reason: str) -> bool:
        """Keep a batch that is never taken, and send a marker for it; False if that was done."""
        position, now = self.standing.position(sequence), self._clock.now_ns()
        return await self._loop.run_in_executor(
            self._reading, self.aside.take, self._reader, position, reason, now
        )

    async def close(self) -> None:
        """Write what is pending if the disk lets it happen soon, and let go of the files."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._reading.shutdown(wait=False)
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
        self._abandon_waiting(SpoolStoppedError("the spool was closed"))
        if not self._failed.done():
            self._failed.cancel()

    async def _change(self, apply: Callable[[], None]) -> None:
        future: asyncio.Future[int] = self._loop.create_future()
        with self._lock:
            self._refuse_if_stopped()
            self._changes.append(Change(apply, future))
            self._lock.notify()
        await future

    def _refuse_if_stopped(self) -> None:
        if self._closing:
            raise SpoolStoppedError(f"{self._spool.directory}: the spool is closed")

    async def _wait_for_room(self, size: int) -> None:
        while True:
            refusal = self._room.refusal(self.held_bytes + self._pending_bytes, size)
            if not refusal:
                self._metrics.healed("spool_full")
                return
            self._refuse_if_stopped()
            self._metrics.problem("spool_full", refusal)
            self._metrics.increment("opentrail_agent_spool_waits_total")
            # Looked at again also without a signal: others may have freed the disk.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROOM_SECONDS):
                    await self._room_signal.wait()

    # What the thread does.

    def _run(self) -> None:
        try:
            while (work := self._next()) is not None:
                self._do(work)
            self._spool.close()
        except BaseException as error:  # Told to the stage, which ends the agent with it.
            self._tell(self._fail, error)

    def _next(self) -> _Work | None:
        """Wait for work; None when closing and nothing is left."""
        with self._lock:
            while True:
                work = _Work(self._take_group(), list(self._changes))
                self._changes.clear()
                standing = self._spool.standing
                behind = self._acknowledged > standing.acknowledged
                behind = behind or self._archived > standing.archived
                wait = self._standing_due - self._clock.monotonic()
                if behind and (wait <= 0 or self._closing or work.changes):
                    work.acknowledged, work.archived = self._acknowledged, self._archived
                if work.group or work.changes or work.acknowledged is not None:
                    return work
                if self._closing:
                    return None
                self._lock.wait(wait if behind else None)

    def _take_group(self) -> list[Waiting]:
        group: list[Waiting] = []
        size = 0
        while self._pending and (
            not group or size + len(self._pending[0].batch.payload) <= GROUP_BYTES
        ):
            waiting = self._pending.popleft()
            size += len(waiting.batch.payload)
            group.append(waiting)
        self._in_hand = group
        return group

    def _do(self, work: _Work) -> None:
        if work.group:
            self._commit(work.group)
        if work.acknowledged is not None:
            position = work.acknowledged
            self._persist(lambda: self._spool.acknowledge(position))
            if work.archived is not None and work.archived > self._spool.standing.archived:
                archived = work.archived
                self._persist(lambda: self._spool.archive(archived))
            self._standing_due = self._clock.monotonic() + STANDING_SECONDS
            self._tell(self._signal_room)
        for change in work.changes:
            self._persist(change.apply)
            self._tell(resolve, [change.future], 0)

    def _commit(self, group: list[Waiting]) -> None:
        first = self._spool.next_position
        done = 0
        while done < len(group):
            try:
                self._spool.append(waiting.batch for waiting in group[done:])
                done = len(group)
            except OSError as error:
                self._report(error)
                if not self._recover():
                    self._tell(reject, group, SpoolStoppedError("the spool was closed"))
                    return
                done = self._spool.next_position - first
        self._metrics.healed("spool_disk")
        with self._lock:
            self._pending_bytes -= sum(len(waiting.batch.payload) for waiting in group)
        self._tell(self._resolve_group, group, first)

    def _recover(self) -> bool:
        """Open the spool again, however long the disk takes; False when closing instead."""
        while True:
            with self._lock:
                if self._closing:
                    return False
                self._lock.wait(RETRY_SECONDS)
            try:
                self._spool.reopen()
                return True
            except OSError as error:
                self._report(error)

    def _persist(self, write: Callable[[], None]) -> None:
        """Write the standing; a disk that fails is tried again until it takes it."""
        while True:
            try:
                write()
                return
            except OSError as error:
                self._report(error)
            with self._lock:
                if self._closing:
                    return  # The old standing stays: some batches are sent once more.
                self._lock.wait(RETRY_SECONDS)

    def _bind(self, log_id: str, acknowledged: int | None) -> None:
        self._spool.bind(log_id, acknowledged=acknowledged)
        if acknowledged is not None:
            self._acknowledged = acknowledged

    def _begin_epoch(self, after: int, lost: int) -> None:
        self._spool.begin_epoch(after=after, lost=lost)
        self._acknowledged = after

    def _report(self, error: OSError) -> None:
        self._metrics.increment("opentrail_agent_spool_write_failures_total")
        self._metrics.problem(
            "spool_disk",
            f"{self._spool.directory}: {error}; nothing was acknowledged, the sources wait, "
            f"tried again every {RETRY_SECONDS:g} s",
        )

    # Back on the event loop.

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            self._loop.call_soon_threadsafe(call, *arguments)

    def _resolve_group(self, group: list[Waiting], first: int) -> None:
        self._durable = max(self._durable, first + len(group) - 1)
        for offset, waiting in enumerate(group):
            resolve([waiting.future], first + offset)
        self._metrics.increment("opentrail_agent_spool_commits_total")
        self._metrics.increment("opentrail_agent_spool_batches_total", len(group))
        for listener in self._listeners:
            listener()

    def _signal_room(self) -> None:
        self._room_signal.set()
        self._room_signal = asyncio.Event()

    def _fail(self, error: BaseException) -> None:
        self._closing = True  # The thread may still be alive for a moment: nobody is served now.
        self._abandon_waiting(SpoolStoppedError(f"the spool's thread failed: {error!r}"))
        if not self._failed.done():
            self._failed.set_exception(error)

    def _abandon_waiting(self, reason: SpoolStoppedError) -> None:
        with self._lock:
            waiting = [each.future for each in (*self._in_hand, *self._pending)]
            waiting += [each.future for each in self._changes]
            self._pending.clear()
            self._changes.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(reason)
