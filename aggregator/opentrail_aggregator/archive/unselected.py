"""Events that no trail takes: how many, and which frames hold them that an index still needs.

Such an event is in no object, so the log may not let go of it before it is indexed: what can be had
again from the archive ends before the first of those frames.
"""

from typing import Any

SPANS_MAX = 256


class Unselected:
    """All of it at one position of the log."""

    def __init__(self) -> None:
        self.total = 0
        self._spans: list[list[int]] = []
        """First and last frame, in order; what lies in one is held, also if it need not be."""

    def note(self, frame: int, events: int) -> None:
        """So many events of a frame are taken by no trail."""
        self.total += events
        if not events:
            return
        if self._spans and (self._spans[-1][1] >= frame - 1 or len(self._spans) >= SPANS_MAX):
            self._spans[-1][1] = frame
        else:
            self._spans.append([frame, frame])

    def forget(self, indexed_through: int) -> None:
        """Every index has all frames through this one."""
        while self._spans and self._spans[0][1] <= indexed_through:
            del self._spans[0]
        if self._spans and self._spans[0][0] <= indexed_through:
            self._spans[0][0] = indexed_through + 1

    def recoverable_through(self, archived_through: int) -> int:
        """The frame through which every event that an index needs is in an object."""
        return min([archived_through, *(span[0] - 1 for span in self._spans[:1])])

    def state(self) -> dict[str, Any]:
        """What `restore` needs at the same position."""
        return {"total": self.total, "spans": self._spans}

    def restore(self, state: dict[str, Any]) -> None:
        """Be as when `state` was taken."""
        self.total = int(state.get("total", 0))
        self._spans = [[int(first), int(last)] for first, last in state.get("spans", [])]
