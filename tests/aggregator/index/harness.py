"""A log with verdicts, the index role over it, and what the index then holds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opentrail_aggregator.index.archived import ArchivedEvent, ArchiveSource
from opentrail_aggregator.index.engine import IndexEngine
from opentrail_aggregator.index.figures import Figures
from opentrail_aggregator.index.generation import Generation, Generations
from opentrail_aggregator.index.indexer import Indexer
from opentrail_aggregator.index.rebuild import Progress, Rebuild
from opentrail_aggregator.index.settings import IndexSettings, RetentionSettings
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.search.settings import SearchSettings
from tests.aggregator.consolidate.world import World, line
from tests.aggregator.search.contract import when

DAY = 86_400


@dataclass(frozen=True)
class Sections:
    index: IndexSettings = field(default_factory=IndexSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)


class Archive:
    """An archive in memory: what it was given, part by part in any order."""

    def __init__(self, events: Sequence[ArchivedEvent] = ()) -> None:
        self.held = list(events)

    def events(self, after: int = 0, through: int | None = None) -> Iterator[ArchivedEvent]:
        for event in self.held:
            if (event.position > after or (after == 0 and event.position == 0)) and (
                through is None or event.position <= through
            ):
                yield event


class Room:
    """The index room of one home."""

    def __init__(self, path: Path, *, days: int = 90, archive: ArchiveSource | None = None) -> None:
        self.world = World(path)
        self.home, self.clock = self.world.home, self.world.clock
        self.clock.advance(DAY / 2)  # Noon, so that a few seconds do not change the day.
        self.sections = Sections(retention=RetentionSettings(days=days))
        self.metrics = Metrics("index", self.clock)
        self.archive = archive
        self.engine = IndexEngine(self.home, SearchSettings(), self.clock)
        self.indexer = self.start()

    def start(self) -> Indexer:
        self.indexer = Indexer(
            self.home, self.sections, self.clock, self.metrics, archive=self.archive
        )
        return self.indexer

    @property
    def now(self) -> int:
        return self.clock.now_ns() // 10**9

    def send(self, *events: tuple[str, int]) -> int:
        """One batch of events, each an eventID and its age in seconds."""
        position = self.world.send(
            [line(name, eventTime=when(self.now - age)) for name, age in events]
        )
        self.world.run()
        return position

    def run(self, steps: int = 60) -> None:
        """Steps, with time passing between them, until nothing is left to do."""
        for _ in range(steps):
            while self.indexer.step():
                self.clock.advance(0.01)
            self.clock.advance(0.2)

    def crash(self) -> None:
        """The role is gone without a word; the engine's lock with it."""
        follower = self.indexer._follower
        if follower is not None:
            follower.discard()
        self.start()

    def found(self, query: str = "*") -> list[str]:
        hits = []
        cursor = None
        while True:
            page = self.engine.search(query, limit=1000, cursor=cursor)
            hits += page.hits
            cursor = page.next_cursor
            if cursor is None:
                return [hit.event_id for hit in hits]

    def doubled(self) -> list[str]:
        return [name for name, count in Counter(self.found()).items() if count > 1]

    def found_or_nothing(self) -> list[str]:
        return self.found() if Generations(self.home.index).current() else []

    def figures_or_zero(self) -> int:
        return self.figures().indexed if Generations(self.home.index).current() else 0

    def figures(self, *, is_thorough: bool = False) -> Figures:
        return self.engine.figures(is_thorough=is_thorough)

    def generation(self) -> Generation:
        current = Generations(self.home.index).current()
        assert current is not None
        return current

    def problems(self) -> dict[str, str]:
        return {each["key"]: each["text"] for each in self.metrics.snapshot()["problems"]}

    def balance(self) -> tuple[int, int]:
        """Both sides of: what is indexed, expired and missing is what was kept."""
        found = self.figures()
        return found.indexed + found.expired + found.missing, found.kept_total

    def rebuild(self, source: str) -> list[Progress]:
        rebuild = Rebuild(
            self.home, self.sections, self.clock,
            source="archive" if source == "archive" else "log", archive=self.archive,
        )  # fmt: skip
        return list(rebuild.run())
