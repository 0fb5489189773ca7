"""A process that runs the index role over a home until all is indexed; killed by a crash point."""

import sys
from pathlib import Path

from opentrail_aggregator.home import Home
from opentrail_aggregator.index.indexer import Indexer
from opentrail_aggregator.index.settings import IndexSettings, RetentionSettings
from opentrail_aggregator.metrics import Metrics
from tests.aggregator.index.harness import DAY, Sections
from tests.fakes.clock import FakeClock


def main(home: Path, now: float, retention_days: int) -> None:
    clock = FakeClock(now)
    settings = IndexSettings(gather_events=40)
    sections = Sections(settings, RetentionSettings(days=retention_days))
    indexer = Indexer(Home(home), sections, clock, Metrics("index", clock))
    for turn in range(120):
        indexer.step()
        clock.advance(0.3)
        if turn == 60:
            clock.advance(DAY)  # The oldest day goes.
    indexer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
