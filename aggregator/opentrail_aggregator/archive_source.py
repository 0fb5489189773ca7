"""Between rooms: how index and consolidate reach back into the archive.

The archive knows keys and manifests, the index wants events by log position, consolidate the record
at one position. Neither of them imports the archive; this is handed to them where they are built.
"""

from collections.abc import Iterator

from opentrail.clock import SystemClock
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.ledger import read_ledger
from opentrail_aggregator.archive.open_archive import open_destination
from opentrail_aggregator.archive.roots import roots_of
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.consolidate.verdict import Group
from opentrail_aggregator.index.archived import ArchivedEvent
from opentrail_aggregator.wal.disk_reader import open_reader
from opentrail_aggregator.wal.lineage import read_lineage


def destination_of(settings: AggregatorSettings) -> Destination:
    """Where the archive lies."""
    return open_destination(settings.place, settings.archive, SystemClock())


def catalog_of(settings: AggregatorSettings) -> Catalog:
    """What lies there."""
    home, prefix = settings.place, settings.archive.prefix
    return Catalog(destination_of(settings), prefix, lambda: roots_of(home, prefix))


class ArchivedEvents:
    """The archive as the index reads it back; opened at the first question."""

    def __init__(self, settings: AggregatorSettings) -> None:
        self._settings = settings

    def events(self, after: int = 0, through: int | None = None) -> Iterator[ArchivedEvent]:
        """Events at positions behind `after` through `through`, each once."""
        home = self._settings.place
        lineage = read_lineage(home.log, open_reader(home).log_id)
        removed = read_ledger(home, self._settings.archive.bucket).before_ns
        records = catalog_of(self._settings).all_records(
            after, through, lineage.log_ids, max(removed, lineage.removed_before_ns)
        )
        for manifest, record in records:
            # Positions of a log that this one does not follow mean nothing here.
            position = record.position if manifest.log_id in lineage.log_ids else 0
            if position <= after and (position or after):
                continue
            if through is not None and position > through:
                continue
            yield ArchivedEvent(
                record.line, record.account, record.region, record.derived_id, position
            )


class FirstInArchive:
    """The record at a log position, for consolidate, when the log no longer has it."""

    def __init__(self, settings: AggregatorSettings) -> None:
        self._settings = settings
        self._catalog: Catalog | None = None

    def __call__(self, position: int, group: Group, key: bytes) -> bytes | None:
        if self._catalog is None:
            self._catalog = catalog_of(self._settings)
        return self._catalog.lookup(position, group, key)
