"""A process that runs the role over a home until all is in a cluster; killed by a crash point."""

import sys
import time
from pathlib import Path

from opentrail_aggregator.home import Home
from opentrail_aggregator.index.settings import RetentionSettings
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.opensearch.indexer import OpenSearchIndexer
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from tests.aggregator.index.harness import DAY
from tests.aggregator.opensearch.harness import Sections
from tests.fakes.clock import FakeClock

QUIET_STEPS = 10


def main(home: Path, url: str, now: float, retention_days: int) -> None:
    """To the end of the log, then two days on, so that days are dropped."""
    clock = FakeClock(now)
    settings = OpenSearchSettings(url=url, replicas=0, senders=2, body_bytes=64 * 1024)  # type: ignore[arg-type]
    sections = Sections(settings, RetentionSettings(days=retention_days))
    indexer = OpenSearchIndexer(Home(home), sections, clock, Metrics("opensearch", clock))
    for _ in range(2):
        run(indexer, clock)
        for _ in range(40):  # A jump would be distrusted.
            clock.advance(DAY / 40)
            indexer.step()
    run(indexer, clock)
    indexer.close()


def run(indexer: OpenSearchIndexer, clock: FakeClock) -> None:
    quiet, ends = 0, time.monotonic() + 60
    while quiet < QUIET_STEPS:
        assert time.monotonic() < ends, "the role is not done"
        is_busy = indexer.step()
        clock.advance(0.3)
        quiet = 0 if is_busy or not indexer.is_idle else quiet + 1
        if not is_busy:
            time.sleep(0.003)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
