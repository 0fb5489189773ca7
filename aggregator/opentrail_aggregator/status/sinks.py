"""The archive and the embedded index as `status` counts them: each by its own room's figures."""

from dataclasses import dataclass
from typing import Protocol

from opentrail_aggregator.index.figures import figures
from opentrail_aggregator.index.figures import recount as _recount
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.reading import OpenDays
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.status.sums import Sink


class _ArchiveFigures(Protocol):
    position: int
    archived: int
    pending: int
    kept_total: int
    unselected: int
    findings: list[str]


class _ArchiveReader(Protocol):
    def figures(self, *, recount: bool = False) -> _ArchiveFigures: ...


@dataclass(slots=True)
class ArchiveCounter:
    """Events in delivered objects that are there, of the size their manifests say."""

    reader: _ArchiveReader

    def count(self, *, recount: bool) -> Sink:
        found = self.reader.figures(recount=recount)
        return Sink(
            name="archive",
            position=found.position,
            kept=found.kept_total,
            done=found.archived,
            aside=found.unselected,
            staged=found.pending,
            findings=tuple(found.findings),
        )


@dataclass(slots=True)
class IndexCounter:
    """Documents of each day of the generation that answers."""

    generations: Generations
    days: OpenDays

    def count(self, *, recount: bool) -> Sink:
        try:
            found = _recount(self.days) if recount else figures(self.days)
        except SearchUnavailableError:
            if self.generations.current() is not None:
                raise
            return Sink("index", 0, 0, 0, 0)  # There is no index before there is a log.
        findings = (
            (f"the records of {found.unreadable:,} documents cannot be read",)
            if found.unreadable
            else ()
        )
        return Sink(
            name="index",
            position=found.position,
            kept=found.kept_total,
            done=found.indexed,
            aside=found.expired,
            missing=found.missing,
            findings=findings,
        )
