"""How far each agent is archived: which batch number lay where in the log, remembered sparsely.

A manifest says through which log position everything is in an object once its cut is delivered. To
an operator who lost the log that means nothing; this turns it into the last batch number of each
agent and the time at which the frame came in.

A few marks are kept for each numbering, dense at the end and sparse before, so what is said may be
too low and never too high. Everything follows from the log, so a manifest made again is the same.
"""

from typing import Any

MARKS_MAX = 16
TIMES_MAX = 64

Mark = tuple[int, int]
"""A log position, and what holds through it: a batch number, or a time in nanoseconds."""


class Marks:
    """The marks of all numberings at one position of the log."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[Mark]] = {}
        self._times: list[Mark] = []

    def note(self, position: int, at_ns: int) -> None:
        """A frame was read."""
        _add(self._times, (position, at_ns), TIMES_MAX)

    def note_batch(self, agent: str, epoch: str, position: int, sequence: int) -> None:
        """A batch was read."""
        _add(self._numbers.setdefault(_name(agent, epoch), []), (position, sequence), MARKS_MAX)

    def number(self, agent: str, epoch: str, position: int) -> int:
        """The last number of that numbering known to lie at or before `position`; 0 if none."""
        return _through(self._numbers.get(_name(agent, epoch), []), position)

    def time_ns(self, position: int) -> int:
        """Everything that came in through this time lies at or before `position`; 0 if unknown."""
        return _through(self._times, position)

    def forget_before(self, position: int) -> None:
        """Nobody will ask for an earlier position any more."""
        for marks in (self._times, *self._numbers.values()):
            while len(marks) > 1 and marks[1][0] <= position:
                del marks[0]

    def state(self) -> dict[str, Any]:
        """What `restore` needs at the same position."""
        return {"numbers": self._numbers, "times": self._times}

    def restore(self, state: dict[str, Any]) -> None:
        """Be as when `state` was taken."""
        self._times = [(int(at), int(value)) for at, value in state.get("times", [])]
        self._numbers = {
            str(name): [(int(at), int(value)) for at, value in marks]
            for name, marks in state.get("numbers", {}).items()
        }


def _add(marks: list[Mark], mark: Mark, limit: int) -> None:
    marks.append(mark)
    if len(marks) > limit:
        # The first one stays: it is the one that holds for the position asked for last.
        del marks[1 : len(marks) // 2 : 2]


def _through(marks: list[Mark], position: int) -> int:
    return max((value for at, value in marks if at <= position), default=0)


def _name(agent: str, epoch: str) -> str:
    return f"{epoch}:{agent}"
