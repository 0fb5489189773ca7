"""Asks every store for its own figure, in an order that makes the figures fit together.

The sinks first, the verdicts next, the log last: a store read earlier can then only be behind one
read later, never ahead of it, and everything in between is on its way.
"""

from dataclasses import dataclass
from typing import Protocol

from opentrail.errors import DamagedError
from opentrail_aggregator.consolidate.verdict import KEPT, VerdictReader
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.status.sums import Figures, Judged, Sink
from opentrail_aggregator.wal.disk_reader import DiskLogReader


class SinkCounter(Protocol):
    """Counts what one sink holds."""

    def count(self, *, recount: bool) -> Sink:
        """Figures that are true at one log position; `recount` opens everything."""
        ...


class CountsStores(Protocol):
    """Whoever can tell all figures."""

    def figures(self, *, recount: bool = False) -> Figures:
        """All figures at one position of the log."""
        ...


@dataclass(slots=True)
class Stores:
    """Everything that is counted. For one thread at a time."""

    log: DiskLogReader
    verdicts: VerdictReader
    quarantine: Quarantine
    index: SinkCounter
    archive: SinkCounter
    also: tuple[SinkCounter, ...] = ()
    """A second index, while events move from one to the other."""

    def figures(self, *, recount: bool = False) -> Figures:
        """All figures at the log's present end."""
        index = self.index.count(recount=recount)
        also = tuple(each.count(recount=recount) for each in self.also)
        archive = self.archive.count(recount=recount)
        judged = self._judged()
        position = max(self.log.durable_position(), judged.position)
        return Figures(
            position=position,
            received=sum(self.log.received_through(position)),
            judged=judged,
            received_judged=sum(self.log.received_through(judged.position)),
            quarantined=self.quarantine.count_through(judged.position),
            index=index,
            archive=archive,
            also=also,
        )

    def _judged(self) -> Judged:
        last = self.verdicts.last()
        if last is None:
            position = self.verdicts.consolidated_position()
            if position:
                raise DamagedError(
                    f"verdicts: the verdict of log position {position} is missing or cannot be "
                    "read, so nothing can be added up; consolidate makes verdicts anew from the "
                    "log, see /health/delivery"
                )
            return Judged(0, 0, 0, 0)
        return Judged(last.position, last.kept_total, last.copies_total, last.quarantined_total)


def kept_through(verdicts: VerdictReader, position: int) -> int | None:
    """Events kept through `position`; None if no verdict tells any more."""
    if position <= 0:
        return 0
    found = verdicts.read(position - 1, 1)
    if found and found[0].position == position:
        return found[0].kept_total
    if verdicts.first_position() == position + 1 and (found := verdicts.read(position, 1)):
        # The verdict itself went with its segment; its successor knows the total before it.
        return found[0].kept_total - found[0].outcomes.count(KEPT)
    return None
