"""All stores of a home, opened for counting."""

from opentrail.clock import Clock
from opentrail_aggregator.archive.open_archive import open_reader as open_archive
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.reading import OpenDays
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.status.counting import SinkCounter, Stores
from opentrail_aggregator.status.sinks import ArchiveCounter, IndexCounter, OpenSearchCounter
from opentrail_aggregator.wal.disk_reader import open_reader as open_log


def open_stores(settings: AggregatorSettings, clock: Clock) -> Stores:
    """What `status` counts."""
    home = settings.place
    indexes = [_index(name, settings) for name in settings.indexes]
    return Stores(
        log=open_log(home),
        verdicts=VerdictReader(home),
        quarantine=Quarantine(home),
        index=indexes[0],
        archive=ArchiveCounter(open_archive(home, settings.archive, clock)),
        also=tuple(indexes[1:]),
    )


def _index(name: str, settings: AggregatorSettings) -> SinkCounter:
    home = settings.place
    if name == "opensearch":
        # Alone it is what `index` stands for in the sums.
        shown = "index" if settings.indexes == (name,) else name
        return OpenSearchCounter(home, Cluster(settings.opensearch), shown)
    generations = Generations(home.index)
    return IndexCounter(generations, OpenDays(generations, settings.search.open_days_max))
