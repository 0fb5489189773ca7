"""Which batch numbers are in the archive: what agents that keep batches so long are told.

The archive's cursor says through which position of the log everything is delivered; this remembers
where the numbers of each epoch lie, sparsely, so an answer may be too low for a while and is never
too high. After a start only the last number of each epoch is known: its agent waits until that one
is archived.
"""

from collections import deque

WAITING_MAX = 256
"""Places that are remembered for one epoch; beyond it every second one is forgotten."""


class ArchivedNumbers:
    """Follows the ledger. One thread at a time."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], deque[tuple[int, int]]] = {}
        self._through: dict[tuple[str, str], int] = {}
        self._position = 0

    def note(self, agent: str, epoch: str, position: int, sequence: int) -> None:
        """The batch `sequence` lies at `position`."""
        places = self._waiting.setdefault((agent, epoch), deque())
        places.append((position, sequence))
        if len(places) > WAITING_MAX:
            kept = list(places)
            # The newest stays: it is the one that says that all is done.
            del kept[0 : len(kept) - 1 : 2]
            self._waiting[agent, epoch] = deque(kept)

    def advance(self, position: int) -> None:
        """Everything through log position `position` is archived."""
        self._position = max(self._position, position)

    def through(self, agent: str, epoch: str) -> int:
        """The last number of an epoch that is known to be archived, 0 if none is."""
        name = (agent, epoch)
        places = self._waiting.get(name)
        while places and places[0][0] <= self._position:
            self._through[name] = places.popleft()[1]
        return self._through.get(name, 0)
