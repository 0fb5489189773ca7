"""Turns between agents on their way to the log, in bytes.

Each agent has a queue of its own, in order. A group for the log is made of what has waited longest
in *virtual time*: an item costs its agent its size, and an agent that had nothing waiting begins at
the present, so it goes before everything that others have queued behind their first item. Of one
agent no more than a share goes into a group, even when nobody else waits: somebody may come while
the group is being written, and then waits for that share and not for all that a flood has queued.
"""

import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class FairQueue(Generic[K, T]):
    """Items with sizes, queued by key. No I/O, no threads."""

    def __init__(self) -> None:
        self.bytes = 0
        """Of everything that waits."""
        self._queues: dict[K, deque[tuple[T, int]]] = {}
        self._turns: list[tuple[int, int, K]] = []
        """A heap: when the first item of each key that waits is due, and who asked first."""
        self._asked = 0
        self._now = 0
        """Virtual time: when the item taken last was due. Nothing that waits is due before it."""
        self._paid_until: dict[K, int] = {}
        """When the next item of a key is due at the earliest; forgotten when nobody waits."""

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, key: K, item: T, size: int) -> None:
        """Queue `item` behind the others of `key`."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            self._ask(key)
        queue.append((item, size))
        self.bytes += size

    def waiting(self, key: K) -> int:
        """How many items of `key` wait."""
        return len(self._queues.get(key, ()))

    def take(self, max_bytes: int, max_bytes_of_one: int) -> list[T]:
        """The next items: about `max_bytes`, of one key at most `max_bytes_of_one`.

        An item that is larger than its share goes alone: each key's first is always taken.
        """
        taken: list[T] = []
        size = 0
        shares: dict[K, int] = {}
        full: list[K] = []
        while self._turns and size < max_bytes:
            due, _, key = heapq.heappop(self._turns)
            queue = self._queues[key]
            item_size = queue[0][1]
            share = shares.get(key, 0)
            if share and share + item_size > max_bytes_of_one:
                full.append(key)
                continue
            item, _ = queue.popleft()
            taken.append(item)
            size += item_size
            shares[key] = share + item_size
            self._now = due
            self._paid_until[key] = due + item_size
            if queue:
                self._ask(key)
            else:
                del self._queues[key]
        for key in full:
            self._ask(key)  # From now on: what it had to leave out is no credit for later.
        self.bytes -= size
        if not self._queues:
            self._begin_anew()
        return taken

    def clear(self) -> list[T]:
        """Take everything."""
        items = [item for queue in self._queues.values() for item, _ in queue]
        self._queues.clear()
        self._begin_anew()
        self.bytes = 0
        return items

    def _ask(self, key: K) -> None:
        due = max(self._now, self._paid_until.get(key, 0))
        self._asked += 1
        heapq.heappush(self._turns, (due, self._asked, key))

    def _begin_anew(self) -> None:
        self._turns.clear()
        self._paid_until.clear()
        self._now = 0
