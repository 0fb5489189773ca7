"""What became searchable since the last look, in the order of its arrival: the source of `tail`.

Search has an order by time, in which a late event falls somewhere in the middle. Here the order is
that of the log: the index says through which position it has committed everything, so what lies
between two such positions is exactly what is new, late events included, each shown once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import tantivy

from opentrail.clock import Clock
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.compile import all_of, between, compile_query
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.ordering import hit_of
from opentrail_aggregator.index.reading import OpenDay, OpenDays
from opentrail_aggregator.index.schema import is_panic
from opentrail_aggregator.search.engine import Deadline, Hit, Scope
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.search.parser import parse

_ORDINALS = 0xFFFF


@dataclass(frozen=True, slots=True)
class Arrived:
    """Some of what is new."""

    hits: Sequence[Hit]
    through: int
    """The event position to go on behind."""


class Arrivals(Protocol):
    """Tells what is new."""

    def through(self) -> int:
        """The event position through which everything is searchable."""
        ...

    def since(
        self, query: str, after: int, limit: int, scope: Scope, deadline: Deadline
    ) -> Arrived:
        """The first `limit` matches behind event position `after`."""
        ...


class IndexArrivals:
    """Arrivals in the embedded index."""

    def __init__(self, home: Home, clock: Clock, open_days_max: int) -> None:
        self._clock = clock
        self._days = OpenDays(Generations(home.index), open_days_max)

    def through(self) -> int:
        return self._days.view().state.position << 16 | _ORDINALS

    def since(
        self, query: str, after: int, limit: int, scope: Scope, deadline: Deadline
    ) -> Arrived:
        compiled = compile_query(parse(query), scope, self._clock.now_ns() // 1_000_000_000)
        view = self._days.view()
        through = view.state.position << 16 | _ORDINALS
        if through <= after:
            return Arrived((), after)
        wanted = all_of(compiled.query, between("p", after + 1, through))
        hits: list[Hit] = []
        for name in view.days:
            deadline.check()
            day = self._days.day(view, name)
            if day is not None:
                hits += _first_of(day, wanted, limit)
        hits.sort(key=lambda hit: hit.position)
        if len(hits) <= limit:
            return Arrived(hits, through)
        # Each day gave its first ones, so the first `limit` of all of them are among these.
        return Arrived(hits[:limit], hits[limit - 1].position)


def _first_of(day: OpenDay, wanted: tantivy.Query, limit: int) -> list[Hit]:
    try:
        searcher = day.searcher()
        found = searcher.search(
            wanted, limit + 1, count=False, order_by_field="p", order=tantivy.Order.Asc
        ).hits
        addresses = [address for _, address in found]
        if not addresses:
            return []
        locations = (each or 0 for each in searcher.fast_field_values("l", addresses))
        return [hit_of(event) for event in day.records.read(map(int, locations))]
    except ValueError as error:
        raise SearchUnavailableError(f"index day {day.name}: {error}") from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise SearchUnavailableError(f"index day {day.name}: {error}") from error
