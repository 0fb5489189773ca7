"""A log with verdicts, the role `opensearch` over it, and what the server then holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.index.archived import ArchiveSource
from opentrail_aggregator.index.settings import RetentionSettings
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.engine import OpenSearchEngine
from opentrail_aggregator.opensearch.figures import Figures, figures
from opentrail_aggregator.opensearch.indexer import OpenSearchIndexer
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.search.settings import SearchSettings
from tests.aggregator.consolidate.world import World, line
from tests.aggregator.search.contract import when

DAY = 86_400


class Sections:
    def __init__(self, opensearch: OpenSearchSettings, retention: RetentionSettings) -> None:
        self.opensearch = opensearch
        self.retention = retention


class Room:
    """The role of one home, over a cluster at some address."""

    def __init__(
        self, path: Path, url: str, *, days: int = 90, archive: ArchiveSource | None = None,
        **settings: Any,
    ) -> None:  # fmt: skip
        self.world = World(path)
        self.home, self.clock = self.world.home, self.world.clock
        self.clock.advance(DAY / 2)  # Noon, so that a few seconds do not change the day.
        told = OpenSearchSettings(url=url, **{"replicas": 0, "timeout": 20.0, **settings})
        self.sections = Sections(told, RetentionSettings(days=days))
        self.metrics = Metrics("opensearch", self.clock)
        self.archive = archive
        self.cluster = Cluster(told)
        self.engine = OpenSearchEngine(self.cluster, SearchSettings(), self.clock)
        self.indexer = self.start()

    def start(self) -> OpenSearchIndexer:
        self.indexer = OpenSearchIndexer(
            self.home, self.sections, self.clock, self.metrics, archive=self.archive
        )
        return self.indexer

    @property
    def now(self) -> int:
        return self.clock.now_ns() // 10**9

    def send(self, *events: tuple[str, int]) -> int:
        """One batch of events, each an eventID and its age in seconds."""
        return self.send_lines([line(name, eventTime=when(self.now - age)) for name, age in events])

    def send_lines(self, lines: Sequence[bytes]) -> int:
        position = self.world.send(lines)
        self.world.run()
        return position

    def run(self, seconds: float = 30.0) -> None:
        """Steps until the cursor is at the end of what is consolidated and nothing is left."""
        wanted = VerdictReader(self.home).consolidated_position()
        ends = time.monotonic() + seconds
        quiet = 0
        while quiet < 5:
            assert time.monotonic() < ends, f"not done: {self.problems()}"
            busy = self.indexer.step()
            self.clock.advance(0.2)
            is_idle = not busy and self.indexer.is_idle and self.indexer.position >= wanted
            quiet = quiet + 1 if is_idle else 0
            if not busy:
                time.sleep(0.005)

    def run_until(self, is_so: Callable[[], bool], seconds: float = 30.0) -> None:
        ends = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < ends, f"not so: {self.problems()}"
            if not self.indexer.step():
                self.clock.advance(0.2)
                time.sleep(0.005)

    def point_to(self, url: str) -> None:
        """Begin again with another address."""
        self.indexer.close()
        self.sections.opensearch = replace(self.sections.opensearch, url=url)
        self.start()

    def crash(self) -> None:
        """The role is gone without a word and begins again from its cursor."""
        self.indexer.close()
        self.start()

    def close(self) -> None:
        self.indexer.close()
        self.engine.close()
        self.cluster.wire.end()

    def found(self, query: str = "*") -> list[str]:
        self.cluster.refresh()
        return [hit.event_id for hit in self.engine.search(query, limit=10_000).hits]

    def figures(self) -> Figures:
        return figures(self.home, self.cluster)

    def balance(self) -> tuple[int, int]:
        """Both sides of: what is there, held, expired and missing is what was kept."""
        found = self.figures()
        parts = found.indexed + found.earlier + found.held + found.expired + found.missing
        return parts, found.kept_total

    def problems(self) -> dict[str, str]:
        return {each["key"]: each["text"] for each in self.metrics.snapshot()["problems"]}
