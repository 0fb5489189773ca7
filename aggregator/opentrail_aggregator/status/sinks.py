"""The archive and the indexes as `status` counts them: each by its own room's figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from opentrail_aggregator.home import Home
from opentrail_aggregator.index.figures import figures
from opentrail_aggregator.index.figures import recount as _recount
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.reading import OpenDays
from opentrail_aggregator.opensearch.cluster import Cluster, RefusedError
from opentrail_aggregator.opensearch.figures import figures as opensearch_figures
from opentrail_aggregator.opensearch.wire import ConnectionLostError
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.status.sums import Sink


class _TrailFigures(Protocol):
    kept: int
    archived: int
    unselected: int
    pending: int


class _ArchiveFigures(Protocol):
    position: int
    archived: int
    pending: int
    kept_total: int
    unselected: int
    findings: list[str]

    @property
    def trails(self) -> Mapping[str, _TrailFigures]: ...


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
            trails={
                arn: {
                    "kept": each.kept,
                    "archived": each.archived,
                    "unselected": each.unselected,
                    "pending": each.pending,
                }
                for arn, each in found.trails.items()
            },
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


@dataclass(slots=True)
class OpenSearchCounter:
    """Documents of each day, counted by the server."""

    home: Home
    cluster: Cluster
    name: str

    def count(self, *, recount: bool) -> Sink:
        if not (self.home.log / "durable").exists():
            return Sink(self.name, 0, 0, 0, 0)  # There is no index before there is a log.
        try:
            found = opensearch_figures(self.home, self.cluster)
        except (ConnectionLostError, RefusedError, SearchUnavailableError) as error:
            # Nothing is claimed of a server that does not answer; all of it shows as pending.
            return Sink(self.name, 0, 0, 0, 0, findings=(f"cannot be counted now: {error}",))
        return Sink(
            name=self.name,
            position=found.position,
            kept=found.kept_total,
            done=found.indexed + found.earlier,
            aside=found.expired,
            staged=found.held,
            missing=found.missing,
        )
