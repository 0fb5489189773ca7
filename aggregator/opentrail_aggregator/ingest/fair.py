"""Turns between agents on their way to the log.

Each agent has a queue of its own, in order; a group for the log is made by taking from them in
turns. So one agent that floods waits for itself, and the others wait for a group at most.
"""

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
        """In the order in which their turn comes."""

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, key: K, item: T, size: int) -> None:
        """Queue `item` behind the others of `key`."""
        self._queues.setdefault(key, deque()).append((item, size))
        self.bytes += size

    def waiting(self, key: K) -> int:
        """How many items of `key` wait."""
        return len(self._queues.get(key, ()))

    def take(self, max_bytes: int) -> list[T]:
        """The next items, one per key and turn, of about `max_bytes` (one at least, if any)."""
        taken: list[T] = []
        size = 0
        while self._queues and size < max_bytes:
            key = next(iter(self._queues))
            queue = self._queues.pop(key)
            item, item_size = queue.popleft()
            if queue:
                self._queues[key] = queue  # Behind all others.
            taken.append(item)
            size += item_size
        self.bytes -= size
        return taken

    def clear(self) -> list[T]:
        """Take everything."""
        items = [item for queue in self._queues.values() for item, _ in queue]
        self._queues.clear()
        self.bytes = 0
        return items
