"""All stores of a home, opened for counting."""

from opentrail.clock import Clock
from opentrail_aggregator.archive.open_archive import open_reader as open_archive
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.reading import OpenDays
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.status.counting import Stores
from opentrail_aggregator.status.sinks import ArchiveCounter, IndexCounter
from opentrail_aggregator.wal.disk_reader import open_reader as open_log


def open_stores(settings: AggregatorSettings, clock: Clock) -> Stores:
    """What `status` counts."""
    home = settings.place
    generations = Generations(home.index)
    return Stores(
        log=open_log(home),
        verdicts=VerdictReader(home),
        quarantine=Quarantine(home),
        index=IndexCounter(generations, OpenDays(generations, settings.search.open_days_max)),
        archive=ArchiveCounter(open_archive(home, settings.archive, clock)),
    )
