"""Group commit: one thread writes, everyone else waits for the sync they share.

While one sync runs, frames gather; the next commit takes all of them, up to GROUP_MAX_BYTES. So a
quiet log acknowledges after one sync, and a busy one needs far fewer syncs than frames.

When a commit fails, everything submitted behind it is refused too, and so is all that follows until
`resume`: the submitter numbers its frames, so it has to go back to the first that failed before
anything later may be taken.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.log import Committed, LogError, NewFrame

GROUP_MAX_BYTES = 1_500_000
"""A single write of several megabytes falls off a cliff (9 ms instead of 1); measured."""
_RETRY_SECONDS = 0.25


@dataclass(slots=True)
class _Group:
    frames: Sequence[NewFrame]
    committed: "Future[Committed]" = field(default_factory=Future)


@dataclass(slots=True)
class _Drop:
    position: int
    on_failed: Callable[[], None]


class LogThread:
    """The thread that owns a DiskLog. `LogWriter` for everybody else."""

    def __init__(self, log: DiskLog) -> None:
        self._log = log
        self._waiting: deque[_Group | _Drop] = deque()
        self._changed = threading.Condition()
        self._halted: LogError | None = None
        self._is_open = True
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def log_id(self) -> str:
        return self._log.log_id

    @property
    def durable_position(self) -> int:
        return self._log.durable_position

    @property
    def size_bytes(self) -> int:
        return self._log.size_bytes

    @property
    def trouble(self) -> LogError | None:
        """Why nothing is taken now; None if the log takes frames."""
        if not self.is_alive:
            return LogError(f"{self._log.directory}: the thread that writes the log has died")
        return self._halted

    def submit(self, group: Sequence[NewFrame]) -> "Future[Committed]":
        work = _Group(group)
        with self._changed:
            refusal = self.trouble or (LogError("the log is closing") if self._closing else None)
            if refusal is None:
                self._waiting.append(work)
                self._changed.notify()
                return work.committed
        work.committed.set_result(Committed([], refusal))
        return work.committed

    def resume(self) -> bool:
        """Take frames again after a failure; False while the log cannot be opened."""
        with self._changed:
            if self._is_open:
                self._halted = None
            return self._is_open

    def drop_before(self, position: int, on_failed: Callable[[], None] = lambda: None) -> None:
        """Release segments below `position`, when the thread gets to it."""
        with self._changed:
            self._waiting.append(_Drop(position, on_failed))
            self._changed.notify()

    @property
    def is_alive(self) -> bool:
        """False if the thread has died of a fault; then nothing will be written any more."""
        return self._thread.is_alive() or self._closing

    def close(self) -> None:
        """Commit what was submitted, then let go of the log."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._log.close()

    def _run(self) -> None:
        while True:
            groups, drops = self._take()
            if not groups and not drops and self._closing:
                return
            if groups:
                self._commit(groups)
            for drop in drops:
                try:
                    self._log.drop_before(drop.position)
                except OSError:
                    drop.on_failed()  # To be tried again; it must not stop the log.
            if self._log.failure is not None and not self._closing:
                self._reopen()

    def _take(self) -> tuple[list[_Group], list[_Drop]]:
        """Wait for work; about one commit's worth of it, in order."""
        groups: list[_Group] = []
        drops: list[_Drop] = []
        size = 0
        with self._changed:
            if not self._waiting and not self._closing:
                # While the log is closed by a failure, waking up is what tries it again.
                self._changed.wait(None if self._log.failure is None else _RETRY_SECONDS)
            while self._waiting and size < GROUP_MAX_BYTES:
                work = self._waiting.popleft()
                if isinstance(work, _Drop):
                    drops.append(work)
                    continue
                groups.append(work)
                size += sum(frame.size for frame in work.frames)
        return groups, drops

    def _commit(self, groups: list[_Group]) -> None:
        frames = [frame for group in groups for frame in group.frames]
        outcome = self._log.commit(frames)
        if outcome.error is not None:
            self._halt(outcome.error)
        begin = 0
        for group in groups:
            end = begin + len(group.frames)
            positions = outcome.positions[begin:end]
            error = outcome.error if len(positions) < len(group.frames) else None
            group.committed.set_result(Committed(positions, error))
            begin = end

    def _halt(self, error: LogError) -> None:
        """Refuse all that waits behind the failure, and everything until `resume`."""
        with self._changed:
            self._halted = error
            self._is_open = self._log.failure is None
            behind = [work for work in self._waiting if isinstance(work, _Group)]
            self._waiting = deque(w for w in self._waiting if isinstance(w, _Drop))
        for group in behind:
            group.committed.set_result(Committed([], error))

    def _reopen(self) -> None:
        is_open = self._log.reopen()
        with self._changed:
            self._is_open = is_open
            if not is_open:
                self._halted = self._log.failure
