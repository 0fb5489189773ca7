"""Questions answered by the embedded index.

Days are asked newest first, one after the other, and no further than the answer needs. Between days
the deadline is looked at: what runs inside the engine cannot be interrupted, which is why patterns
that would read a whole dictionary of ids are refused by the language.
"""

from collections.abc import Iterator, Sequence

import tantivy

from opentrail.clock import Clock
from opentrail.errors import UsageError
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.compile import (
    Compiled,
    all_of,
    between,
    compile_query,
    leaf_prefix,
    number_of_hits,
)
from opentrail_aggregator.index.figures import Figures, figures, recount
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.ordering import DayOrder
from opentrail_aggregator.index.reading import OpenDay, OpenDays, View
from opentrail_aggregator.index.retention import day_seconds
from opentrail_aggregator.index.schema import is_panic
from opentrail_aggregator.search.counting import countable_field, hour_name, rank
from opentrail_aggregator.search.cursor import binding_of, cursor_after, read_cursor
from opentrail_aggregator.search.engine import (
    EVERYWHERE,
    Buckets,
    Deadline,
    Hit,
    Page,
    Scope,
    Total,
)
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.search.fields import find_field
from opentrail_aggregator.search.parser import parse
from opentrail_aggregator.search.settings import SearchSettings
from opentrail_aggregator.search.tree import Node, Term

_GET_MAX = 1_000


class IndexEngine:
    """`search.engine.Engine` over the generations in HOME/index."""

    def __init__(self, home: Home, settings: SearchSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._days = OpenDays(Generations(home.index), settings.open_days_max)

    def search(
        self,
        query: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Page:
        if not 1 <= limit <= self._settings.page_max_events:
            raise UsageError(
                f"a page of {limit} events: between 1 and {self._settings.page_max_events} "
                "(search.page_max_events); further ones come with the cursor"
            )
        node = parse(query)
        binding = binding_of(node, scope)
        now = self._now()
        after = None
        if cursor is not None:
            after = read_cursor(cursor, binding, start, end)
            start, end, now = after.start, after.end, after.now
        compiled = compile_query(node, scope, now)
        last = end if after is None or (end is not None and end < after.time_s) else after.time_s
        hits: list[Hit] = []
        for day, order in self._orders(compiled, start, last, self._deadline(deadline)):
            with _told(day):
                hits += order.take(limit + 1 - len(hits), after)
            if len(hits) > limit:
                following = cursor_after(hits[limit - 1], binding, now, start, end)
                return Page(hits[:limit], following.write())
        return Page(hits, None)

    def _orders(
        self, compiled: Compiled, start: int | None, end: int | None, deadline: Deadline
    ) -> Iterator[tuple[OpenDay, DayOrder]]:
        for day, searcher, first, last in self._asked(compiled, start, end, deadline):
            yield day, DayOrder(day, searcher, compiled.query, first, last)

    def count(
        self,
        query: str,
        by: str,
        *,
        start: int | None = None,
        end: int | None = None,
        top: int = 10,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Buckets:
        node = parse(query)
        compiled = compile_query(node, scope, self._now())
        asked = self._asked(compiled, start, end, self._deadline(deadline))
        if by in ("hour", "day"):
            return self._by_time(compiled, 3600 if by == "hour" else 86400, asked)
        field = countable_field(by)
        counts: dict[str, int] = {}
        matched = 0
        prefix = leaf_prefix(field)
        for day, searcher, first, last in asked:
            with _told(day):
                filtered = _within(compiled, day, first, last)
                if filtered is None:
                    matched += searcher.num_docs
                else:
                    matched += number_of_hits(searcher, filtered)
                found = searcher.terms_with_prefix("k", prefix, filter_query=filtered)
            for term, number in found:
                value = term[len(prefix) :]
                counts[value] = counts.get(value, 0) + number
        return rank(counts, matched, min(top, self._settings.buckets_max))

    def _by_time(
        self,
        compiled: Compiled,
        width: int,
        asked: "Iterator[tuple[OpenDay, tantivy.Searcher, int, int]]",
    ) -> Buckets:
        counts: dict[int, int] = {}
        for day, searcher, first, last in asked:
            with _told(day):
                filtered = _within(compiled, day, first, last)
                if width == 86400:
                    number = (
                        searcher.num_docs
                        if filtered is None
                        else number_of_hits(searcher, filtered)
                    )
                    if number:
                        counts[day_seconds(day.name)[0]] = number
                    continue
                found = searcher.aggregate(
                    filtered or tantivy.Query.all_query(),
                    {"t": {"histogram": {"field": "t", "interval": width, "min_doc_count": 1}}},
                )
            for bucket in found["t"]["buckets"]:
                if bucket["doc_count"]:
                    counts[int(bucket["key"])] = int(bucket["doc_count"])
        buckets = [(hour_name(second), counts[second]) for second in sorted(counts)]
        return Buckets(buckets, sum(counts.values()))

    def total(
        self,
        query: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 10_000,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Total:
        compiled = compile_query(parse(query), scope, self._now())
        count = 0
        for day, searcher, first, last in self._asked(
            compiled, start, end, self._deadline(deadline)
        ):
            with _told(day):
                filtered = _within(compiled, day, first, last)
                count += (
                    searcher.num_docs if filtered is None else number_of_hits(searcher, filtered)
                )
            if count > limit:
                return Total(limit, exact=False)
        return Total(count, exact=True)

    def get(
        self, event_id: str, *, scope: Scope = EVERYWHERE, deadline: Deadline | None = None
    ) -> Sequence[Hit]:
        field = find_field("eventID")
        assert field is not None
        node: Node = Term(field, event_id)
        compiled = compile_query(node, scope, self._now())
        hits: list[Hit] = []
        for day, order in self._orders(compiled, None, None, self._deadline(deadline)):
            with _told(day):
                hits += order.take(_GET_MAX - len(hits))
            if len(hits) >= _GET_MAX:
                break
        return hits

    def figures(self, *, is_thorough: bool = False) -> Figures:
        """What the index holds, counted now; `is_thorough` also reads every record."""
        return recount(self._days) if is_thorough else figures(self._days)

    def close(self) -> None:
        self._days.close()

    def _now(self) -> int:
        return self._clock.now_ns() // 1_000_000_000

    def _deadline(self, deadline: Deadline | None) -> Deadline:
        return deadline or Deadline(self._clock, self._settings.deadline_seconds)

    def _asked(
        self, compiled: Compiled, start: int | None, end: int | None, deadline: Deadline
    ) -> "Iterator[tuple[OpenDay, tantivy.Searcher, int, int]]":
        """The days a question concerns, newest first, with the seconds it asks of each."""
        first = compiled.first if start is None else max(start, compiled.first)
        last = compiled.last if end is None else min(end, compiled.last)
        if first > last:
            return
        view: View = self._days.recent_view()
        for name in view.days:
            day_first, day_last = day_seconds(name)
            if day_first > last or day_last < first:
                continue
            deadline.check()
            day = self._days.day(view, name)
            if day is None:
                continue
            with _told(day):
                searcher = day.searcher()
                if any(not searcher.doc_freq("k", term) for term in compiled.needed):
                    continue
            yield day, searcher, max(first, day_first), min(last, day_last)


def _within(compiled: Compiled, day: OpenDay, first: int, last: int) -> tantivy.Query | None:
    """The query within those seconds; None for every document of the day."""
    if (first, last) == day_seconds(day.name):
        return None if compiled.is_everything else compiled.query
    return all_of(compiled.query, between("t", first, last))


class _told:
    """What goes wrong inside the engine is told with its day; a panic is no Exception."""

    def __init__(self, day: OpenDay) -> None:
        self._day = day

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and (type(error) is ValueError or is_panic(error)):
            raise SearchUnavailableError(
                f"index day {self._day.name}: the engine could not answer: {error}"
            ) from error
