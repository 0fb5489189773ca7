"""The archive's own figures: what its manifests say, with each object looked for.

Nothing is taken from a counter. An object counts if it is there and as large as was stored (with
`recount`: opened, its checksum and number of records compared). What is on its way is taken from
the staging folder as of the archive's durable position; later cuts count as pending there.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.catalog import Catalog, split_records
from opentrail_aggregator.archive.deliveries import Delivery, DeliveryFolder
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.keys import MANIFEST_FOLDER, read_key
from opentrail_aggregator.archive.ledger import read_ledger
from opentrail_aggregator.archive.manifest import ManifestSummary
from opentrail_aggregator.archive.roots import roots_of
from opentrail_aggregator.archive.staging.store import read_current
from opentrail_aggregator.home import Home
from opentrail_aggregator.wal.lineage import read_lineage

FINDINGS_MAX = 100


@dataclass(slots=True)
class TrailFigures:
    """kept = archived + unselected + pending, since the trail was made."""

    kept: int
    archived: int
    unselected: int
    pending: int


@dataclass(slots=True)
class ArchiveFigures:
    """As of one durable position of the log."""

    position: int = 0
    archived: int = 0
    """Events in delivered objects that are there, those that retention removed included."""
    removed: int = 0
    """Of them, removed by archive.retention."""
    of_other_logs: int = 0
    """Events that an earlier log of this bucket delivered; in no other figure but the sizes."""
    pending: int = 0
    """Events gathered up to `position` that are not in a delivered object."""
    kept_total: int = 0
    """Events that consolidate had kept through `position`."""
    unselected: int = 0
    objects: int = 0
    manifests: int = 0
    bytes: int = 0
    """Stored, objects and manifests."""
    archived_through: int = 0
    """The frame through which every kept event is delivered."""
    trails: "dict[str, TrailFigures]" = field(default_factory=dict)
    """By ARN, each trail that there is."""
    findings: list[str] = field(default_factory=list)
    """What is missing or not as it was stored."""

    @property
    def is_sound(self) -> bool:
        """Nothing is missing and the room's own sum closes."""
        done = self.archived + self.unselected + self.pending
        return not self.findings and done == self.kept_total


class ArchiveReader:
    """Figures of one archive; keeps what never changes, so asking again is cheap."""

    def __init__(
        self, home: Home, destination: Destination, prefix: str = "", files: Files = DISK
    ) -> None:
        self._home, self._files = home, files
        self._destination = destination
        self.catalog = Catalog(destination, prefix, lambda: roots_of(home, prefix, files))
        self._known: dict[str, ManifestSummary] = {}
        self._sizes: dict[str, int] = {}

    def figures(self, *, recount: bool = False) -> ArchiveFigures:
        """Look at everything; `recount` opens every object."""
        current = read_current(self._home.staging, self._files)
        figures = ArchiveFigures()
        deliveries = [
            each
            for each in DeliveryFolder(self._home.staging, self._files).read_all()
            if each.bucket == self._destination.bucket
        ]
        ledger = read_ledger(self._home, self._destination.bucket, self._files)
        # Manifests before objects: an object is there before its manifest is.
        listed = {each.key: each.stored_bytes for each in self.catalog.listed()}
        manifests = {
            key: self._summary(key, figures)
            for key in listed
            if (parts := read_key(key)) is not None and parts.folder == MANIFEST_FOLDER
        }
        figures.bytes = sum(listed.values())
        figures.manifests = len(manifests)
        last = 0
        if current is not None:
            figures.position = current.position
            figures.kept_total = int(current.state.get("kept_total", 0))
            figures.unselected = int(current.state.get("unselected", 0))
            figures.pending = current.open_events
            last = current.position << 16 | 0xFFFF
            through = [int(current.state.get("gathered_through", 0))]
            through += [(each.first_position >> 16) - 1 for each in deliveries]
            figures.archived_through = min(through)
        figures.pending += sum(
            each.counted
            for each in deliveries
            if each.position <= last and each.manifest.key not in manifests
        )
        removed_counted = 0
        lineage = read_lineage(self._home.log, files=self._files)
        logs = lineage.log_ids | ({current.log_id} if current is not None else frozenset())
        if current is not None:
            own = [each for each in manifests.values() if each and each.log_id in logs]
            under_way = [each for each in deliveries if each.manifest.key not in manifests]
            _count_trails(figures, current.state, under_way, own, last)
        for summary in manifests.values():
            if summary is None:
                continue
            ours = summary.log_id in logs
            if ours and summary.cut.position > last:
                continue
            counted = sum(entry.counted for entry in summary.objects)
            if summary.cut.delivered_at_ns < ledger.before_ns:
                removed_counted += counted
                # What was gone before a rebuild is in none of this log's figures.
                if ours and summary.cut.delivered_at_ns >= lineage.removed_before_ns:
                    figures.removed += counted
                continue
            if summary.cut.delivered_at_ns < lineage.removed_before_ns:
                continue  # Retention removes it in its next pass.
            for entry in summary.objects:
                fault = self._fault(entry.key, listed, entry.sha256, entry.events, recount)
                if fault:
                    _find(figures, fault)
                    continue
                figures.objects += 1
                if ours:
                    figures.archived += entry.counted
                else:
                    figures.of_other_logs += entry.counted
        if removed_counted != ledger.counted:
            _find(
                figures,
                f"the ledger of retention counts {ledger.counted} removed events, the manifests "
                f"of that time {removed_counted}",
            )
        figures.archived += figures.removed
        on_the_way = {each.manifest.key for each in deliveries}
        _check_heads(current.state if current else {}, manifests.keys() | on_the_way, figures)
        return figures

    def _fault(
        self, key: str, listed: dict[str, int], sha256: str, events: int, recount: bool
    ) -> str:
        if key not in listed:
            return f"{key}: the object is missing"
        if key not in self._sizes:
            info = self._destination.head(key)
            if info is None:
                return f"{key}: the object is missing"
            if info.sha256 and info.sha256 != sha256:
                return f"{key}: what is stored beside it is not what its manifest says (sha256)"
            self._sizes[key] = info.stored_bytes
        if listed[key] != self._sizes[key]:
            return f"{key}: {listed[key]} bytes, stored were {self._sizes[key]}"
        if recount:
            return object_fault(self.catalog, key, sha256, events)
        return ""

    def _summary(self, key: str, figures: ArchiveFigures) -> ManifestSummary | None:
        if key not in self._known:
            try:
                self._known[key] = self.catalog.summary(key)
            except DamagedError as error:
                _find(figures, str(error))
                return None
        return self._known[key]


def _count_trails(
    figures: ArchiveFigures,
    state: dict[str, Any],
    under_way: list[Delivery],
    manifests: list[ManifestSummary],
    last: int,
) -> None:
    """Each trail's own sum: events in its manifests, staged, and set aside."""
    tallies = state.get("trails", {}).get("tallies", {})
    opened = state.get("open_events", {})
    for arn, (since, position, taken, unselected) in tallies.items():
        begin = position << 16
        archived = sum(
            each.events
            for each in manifests
            if each.trail == arn and begin < each.cut.position <= last
        )
        pending = opened.get(arn, 0) + sum(
            each.events for each in under_way if each.trail == arn and each.position <= last
        )
        kept = figures.kept_total - since
        figures.trails[arn] = TrailFigures(kept, archived, unselected, pending)
        # The first trail of a log that goes on with another's archive has that one's manifests too.
        is_known = position > 0 or since == 0
        if is_known and (archived + pending, taken + unselected) != (taken, kept):
            _find(
                figures,
                f"{arn}: took {taken} of {kept} events and set {unselected} aside; its manifests "
                f"hold {archived}, {pending} wait",
            )


def _check_heads(state: dict[str, Any], known: set[str], figures: ArchiveFigures) -> None:
    """The last cut of each trail, as staging knows it, must be there or on its way."""
    for arn, head in state.get("chains", {}).items():
        if head["key"] and head["key"] not in known:
            _find(figures, f"{head['key']}: the last manifest of trail {arn} is missing")


def object_fault(catalog: Catalog, key: str, sha256: str, events: int) -> str:
    """What is wrong with an object's content; empty if nothing is."""
    try:
        data = catalog.read(key)
        if hashlib.sha256(data).hexdigest() != sha256:
            return f"{key}: its content is not what its manifest says (sha256)"
        found = len(split_records(key, data))
    except DamagedError as error:
        return str(error)
    return "" if found == events else f"{key}: {found} records, its manifest says {events}"


def _find(figures: ArchiveFigures, text: str) -> None:
    if len(figures.findings) < FINDINGS_MAX:
        figures.findings.append(text)
