"""From the event loop to the log and back: groups out, outcomes in.

Two groups are under way at most: one being synced, one waiting for it, so the disk never idles and
everything else waits in the fair queue, where turns are taken. So whoever had nothing waiting is in
the next group made, behind at most two shares of AGENT_MAX_BYTES of any other agent.

When the log refuses, all that waits is handed back as failed, in order: numbers behind a failed one
must not go in before it. Until somebody calls the log's `resume`, nothing more is taken.
"""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from opentrail.limits import KIB
from opentrail_aggregator.ingest.fair import FairQueue
from opentrail_aggregator.wal.log import Committed, LogError, NewFrame
from opentrail_aggregator.wal.writer import GROUP_MAX_BYTES, LogThread

GROUPS_MAX = 2
AGENT_MAX_BYTES = 512 * KIB
"""Of one agent in one group: several full batches, a third of what a group may hold."""

Outcome = Callable[[int, LogError | None], None]
"""Called in the event loop with the durable position, or with 0 and why it is not in the log."""


@dataclass(frozen=True, slots=True)
class _Item:
    frame: NewFrame
    outcome: Outcome


class Committer:
    """Feeds the log from the event loop it is used in."""

    def __init__(
        self,
        log: LogThread,
        *,
        on_durable: Callable[[int], None] = lambda position: None,
        on_failed: Callable[[LogError], None] = lambda error: None,
    ) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._queue: FairQueue[Hashable, _Item] = FairQueue()
        self._groups = 0
        self._bytes_under_way = 0
        self._on_durable = on_durable
        self._on_failed = on_failed
        self._space = asyncio.Event()
        self._space.set()

    @property
    def pending_bytes(self) -> int:
        """Waiting or under way: not on disk yet."""
        return self._queue.bytes + self._bytes_under_way

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._groups

    def waiting(self, key: Hashable) -> int:
        return self._queue.waiting(key)

    def put(self, key: Hashable, frame: NewFrame, outcome: Outcome) -> None:
        """Queue `frame` behind what `key` has queued; `outcome` is told its fate."""
        self._queue.put(key, _Item(frame, outcome), frame.size)
        self._feed()

    async def append(self, key: Hashable, frame: NewFrame) -> int:
        """Queue `frame` and wait until it is durable; its position. Raises LogError."""
        decided: asyncio.Future[int] = self._loop.create_future()

        def outcome(position: int, error: LogError | None) -> None:
            if decided.cancelled():
                return
            if error is None:
                decided.set_result(position)
            else:
                decided.set_exception(error)

        self.put(key, frame, outcome)
        return await decided

    async def wait_for_space(self, max_bytes: int) -> None:
        """Return when less than `max_bytes` wait in memory."""
        while self.pending_bytes >= max_bytes:
            self._space.clear()
            await self._space.wait()

    def _feed(self) -> None:
        while self._queue and self._groups < GROUPS_MAX:
            items = self._queue.take(GROUP_MAX_BYTES, AGENT_MAX_BYTES)
            size = sum(item.frame.size for item in items)
            self._groups += 1
            self._bytes_under_way += size
            committed = self._log.submit([item.frame for item in items])
            committed.add_done_callback(partial(self._hand_back, items, size))

    def _hand_back(self, items: list[_Item], size: int, committed: "Future[Committed]") -> None:
        """In the log's thread."""
        self._loop.call_soon_threadsafe(self._committed, items, size, committed.result())

    def _committed(self, items: list[_Item], size: int, outcome: Committed) -> None:
        self._groups -= 1
        self._bytes_under_way -= size
        for item, position in zip(items, outcome.positions, strict=False):
            item.outcome(position, None)
        if outcome.positions:
            self._on_durable(outcome.positions[-1])
        if outcome.error is not None:
            failed = items[len(outcome.positions) :] + self._queue.clear()
            for item in failed:
                item.outcome(0, outcome.error)
            self._on_failed(outcome.error)
        self._space.set()
        self._feed()
