"""An index written through its own days, without a log: for tests of what can be asked of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from opentrail_aggregator.home import Home
from opentrail_aggregator.index.days import Days
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.engine import IndexEngine
from opentrail_aggregator.index.generation import Generation, Generations
from opentrail_aggregator.index.retention import day_of
from opentrail_aggregator.index.settings import IndexSettings
from opentrail_aggregator.search.settings import SearchSettings
from tests.aggregator.search.contract import NOW, raw
from tests.aggregator.search.oracle import Stored
from tests.fakes.clock import FakeClock


class DirectStore:
    """One generation and an engine over it."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.clock = FakeClock(NOW)
        generations = Generations(self.home.index)
        self.generation: Generation = generations.create()
        self.generation.write(self.generation.read())
        generations.switch_to(self.generation)
        self.days = Days(self.generation.day, IndexSettings(), self.clock)
        self.engine = IndexEngine(self.home, SearchSettings(), self.clock)
        self._position = 1 << 16

    def add(self, events: Sequence[Stored]) -> None:
        self.add_lines(
            (raw(each), "" if "eventID" in each.record else each.event_id, each.time_s,
             each.account, each.region)
            for each in events
        )  # fmt: skip

    def add_lines(self, lines: Iterable[tuple[bytes, str, int, str, str]]) -> None:
        for record, derived, time_s, account, region in lines:
            self._position += 1
            event = Event(record, derived, time_s, account, region, self._position)
            assert self.days.gather(day_of(time_s), event)
        self.days.flush()

    def close(self) -> None:
        self.engine.close()
        self.days.discard_all()
