"""Followed files whose reading fails: each is a problem of its own until it is read, or ends.

What cannot be opened is told by `Access`; here it is only remembered to be tried again.
"""

from collections.abc import Iterator

from ..metrics import Metrics
from .follower import Follower


class Failing:
    """The followers that could not be read, and under which name that was told."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: dict[Follower, str] = {}

    def __contains__(self, follower: Follower) -> bool:
        return follower in self._told

    def paths(self) -> Iterator[str]:
        """Where they are now."""
        return (each.path for each in self._told)

    def note(self, follower: Follower) -> None:
        """It could not be opened."""
        self._told.setdefault(follower, "")

    def tell(self, follower: Follower, error: OSError) -> None:
        """It could not be read."""
        # By the name it had at first: it may be another one when it is right again.
        key = self._told.get(follower) or f"capture.read {follower.path}"
        self._told[follower] = key
        self._metrics.problem(
            key, f"{follower.path}: cannot be read at {follower.place.offset}: {error.strerror}"
        )

    def is_over(self, follower: Follower) -> None:
        """It is being read again, or is followed no more."""
        if key := self._told.pop(follower, ""):
            self._metrics.healed(key)
