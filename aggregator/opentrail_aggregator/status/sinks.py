"""The archive and the embedded index as `status` counts them: each by its own room's figures."""

from dataclasses import dataclass
from typing import Protocol

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
