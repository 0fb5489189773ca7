"""The newest matches of one day in the exact order of search, a page at a time.

The engine sorts by one number. Time alone leaves the events of one second in any order, so a page
is cut like this: what is wholly newer than the last second comes as it is; within that second the
first 8 bytes of the eventID sort, within equal ones the next 8, and only what is still equal (the
same event in several accounts, or ids that begin alike) is read and sorted here. Each step reads no
more than a page, so a million events in one second are paged through like any others.
"""

import tantivy

from opentrail_aggregator.index.compile import all_of, between, number_of_hits
from opentrail_aggregator.index.document import Event, event_id_in, id_numbers
from opentrail_aggregator.index.reading import OpenDay
from opentrail_aggregator.index.retention import day_seconds
from opentrail_aggregator.search.cursor import Cursor
from opentrail_aggregator.search.engine import Hit

_BIG_DAY = 400_000
_FIRST_WINDOW_SECONDS = 1800


class DayOrder:
    """One query over one day."""

    def __init__(
        self, day: OpenDay, searcher: tantivy.Searcher, query: tantivy.Query, first: int, last: int
    ) -> None:
        """Only seconds from `first` through `last`."""
        self._records = day.records
        self._whole = day_seconds(day.name)
        self._searcher = searcher
        self._query = query
        self._first = first
        self._last = last

    def take(self, count: int, after: Cursor | None = None) -> list[Hit]:
        """The first `count` matches behind `after`."""
        hits: list[Hit] = []
        last = self._last
        if after is not None and after.time_s <= last:
            if after.time_s >= self._first:
                hits = self._rest_of_second(count, after)
            last = after.time_s - 1
        if len(hits) < count:
            hits += self._newest(count - len(hits), last)
        return hits

    def _newest(self, count: int, last: int) -> list[Hit]:
        """Walk back from `last`; on a big day in windows, since a sort visits every match."""
        if self._searcher.num_docs < _BIG_DAY:
            return self._by_time(count, self._first, last)
        hits: list[Hit] = []
        width = _FIRST_WINDOW_SECONDS
        while last >= self._first and len(hits) < count:
            first = max(self._first, last - width + 1)
            hits += self._by_time(count - len(hits), first, last)
            last, width = first - 1, width * 2
        return hits

    def _by_time(self, count: int, first: int, last: int) -> list[Hit]:
        if first > last:
            return []
        query = self._query
        if (first, last) != self._whole:
            query = all_of(query, between("t", first, last))
        found = self._searcher.search(query, count + 1, count=False, order_by_field="t").hits
        if len(found) <= count:
            return self._read([address for _, address in found])
        second = found[-1][0]
        hits = self._read([address for time_s, address in found if time_s > second])
        if len(hits) < count:
            hits += self._by_id(count - len(hits), "h", between("t", second, second))
        return hits

    def _rest_of_second(self, count: int, after: Cursor) -> list[Hit]:
        """What shares the second of `after` and comes behind it."""
        second = between("t", after.time_s, after.time_s)
        high, low = id_numbers(after.event_id)
        same_high, same_low = between("h", high, high), between("o", low, low)
        hits = [hit for hit in self._equal(second, same_high, same_low) if hit.order > after.order]
        hits = hits[:count]
        if len(hits) < count and low < _U64_MAX:
            behind = between("o", low + 1, None)
            hits += self._by_id(count - len(hits), "o", second, same_high, behind)
        if len(hits) < count and high < _U64_MAX:
            hits += self._by_id(count - len(hits), "h", second, between("h", high + 1, None))
        return hits

    def _by_id(self, count: int, field: str, *filters: tantivy.Query) -> list[Hit]:
        query = all_of(self._query, *filters)
        found = self._searcher.search(
            query, count + 1, count=False, order_by_field=field, order=tantivy.Order.Asc
        ).hits
        if len(found) <= count:
            return self._read([address for _, address in found])
        cut = found[-1][0]
        hits = self._read([address for value, address in found if value < cut])
        missing = count - len(hits)
        if missing:
            narrowed = (*filters, between(field, cut, cut))
            hits += (
                self._by_id(missing, "o", *narrowed)
                if field == "h"
                else self._equal(*narrowed)[:missing]
            )
        return hits

    def _equal(self, *filters: tantivy.Query) -> list[Hit]:
        """Matches that numbers cannot tell apart, in order."""
        query = all_of(self._query, *filters)
        number = number_of_hits(self._searcher, query)
        if not number:
            return []
        found = self._searcher.search(query, number, count=False, order_by_field="t").hits
        return self._read([address for _, address in found])

    def _read(self, addresses: list[tantivy.DocAddress]) -> list[Hit]:
        """The events at `addresses`, in order."""
        if not addresses:
            return []
        locations = (each or 0 for each in self._searcher.fast_field_values("l", addresses))
        hits = [hit_of(event) for event in self._records.read(map(int, locations))]
        hits.sort(key=lambda hit: hit.order)
        return hits


_U64_MAX = (1 << 64) - 1


def hit_of(event: Event) -> Hit:
    event_id = event.derived_id or event_id_in(event.record)
    return Hit(event.record, event_id, event.time_s, event.account, event.region, event.position)
