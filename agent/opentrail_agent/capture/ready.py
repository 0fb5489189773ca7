"""Whose turn it is to be read, who may be closed, and what is asked of those who read."""

import contextlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from .follower import Follower
from .positions import Entry


class Harvest(Protocol):
    """What the census asks of those who read."""

    def finish(self, follower: Follower, why: str) -> None: ...
    def touch(self, follower: Follower) -> None: ...
    def has_room(self, follower: Follower) -> bool: ...
    def waits_for(self, entry: Entry | None, quiet_seconds: float) -> bool: ...


@dataclass(slots=True)
class Ready:
    """Followers with something to read; of compressed ones only one is in work at a time."""

    plain: deque[Follower] = field(default_factory=deque)
    gzip: deque[Follower] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self.plain or self.gzip)

    def __iter__(self) -> Iterator[Follower]:
        return itertools.chain(self.plain, self.gzip)

    def add(self, follower: Follower) -> None:
        queue = self.gzip if follower.is_gzip else self.plain
        if follower not in queue:
            queue.append(follower)

    def drop(self, follower: Follower) -> None:
        for queue in (self.plain, self.gzip):
            with contextlib.suppress(ValueError):
                queue.remove(follower)

    def __contains__(self, follower: object) -> bool:
        return follower in self.plain or follower in self.gzip

    def close_idlest(self, followers: Iterable[Follower], count: int) -> None:
        """Close files that can be opened again: seen at a path, quiet, nobody's turn."""
        idle = [
            follower for follower in followers
            if follower.is_open and follower.unseen_since is None and follower not in self
        ]  # fmt: skip
        for follower in sorted(idle, key=lambda each: each.grown_at)[:count]:
            follower.close()
