"""Events over HTTP: search, count, one event by its id.

`GET /api/events` answers a page of JSON with a cursor, or with `format=ndjson` all records up to
`limit`, byte for byte and streamed: pages are fetched one after the other, so a million records
need the memory of one page.
"""

import functools
import logging

from aiohttp import web

from opentrail.clock import Clock
from opentrail.errors import UsageError
from opentrail_aggregator.api.access import CALLER, Caller
from opentrail_aggregator.api.answers import (
    json_answer,
    number_parameter,
    text_parameter,
)
from opentrail_aggregator.api.searching import Searching
from opentrail_aggregator.api.times import iso_time, period_of
from opentrail_aggregator.search.engine import Deadline, Engine, Hit, Page, Scope

_log = logging.getLogger(__name__)
PAGE_DEFAULT = 50
PAGE_MAX = 1000
STREAM_PAGE = 1000
STREAM_MAX = 1 << 62
VALUES_MAX = 10_000
ID_SHORTEST = 6
ID_LENGTH = 36
_TOTAL_LIMIT = 1 << 62


class EventHandlers:
    """Questions about events, asked of one engine."""

    def __init__(self, engine: Engine, searching: Searching, clock: Clock) -> None:
        self._engine = engine
        self._searching = searching
        self._clock = clock

    def _now_s(self) -> int:
        return self._clock.now_ns() // 1_000_000_000

    async def list_events(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/events?query&start&end&limit&cursor&format`."""
        form = text_parameter(request, "format", "json")
        if form == "ndjson":
            return await self._stream(request)
        if form != "json":
            raise UsageError(f"format: {form!r} is neither json nor ndjson")
        limit = number_parameter(request, "limit", PAGE_DEFAULT, PAGE_MAX)
        start, end = period_of(request, self._now_s())
        page = await self._searching.ask(
            functools.partial(
                self._page,
                text_parameter(request, "query", "*"),
                start,
                end,
                limit,
                text_parameter(request, "cursor") or None,
                scope_of(request),
            )
        )
        return json_answer(
            {"events": [event_of(hit) for hit in page.hits], "cursor": page.next_cursor}
        )

    async def count(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/count?query&start&end&by&limit`."""
        query = text_parameter(request, "query", "*")
        by = text_parameter(request, "by")
        start, end = period_of(request, self._now_s())
        top = number_parameter(request, "limit", 20, VALUES_MAX)
        scope = scope_of(request)
        if not by:
            total = await self._searching.ask(
                lambda deadline: self._engine.total(
                    query,
                    start=start,
                    end=end,
                    limit=_TOTAL_LIMIT,
                    scope=scope,
                    deadline=deadline,
                )
            )
            return json_answer({"total": total.count, "exact": total.exact})
        found = await self._searching.ask(
            lambda deadline: self._engine.count(
                query, by, start=start, end=end, top=top, scope=scope, deadline=deadline
            )
        )
        counts = [{"value": value, "count": count} for value, count in found.buckets]
        return json_answer(
            {"by": by, "total": found.matched, "counts": counts, "other": found.other}
        )

    async def get_event(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/events/ID`: all events of this id, or of this beginning of one."""
        event_id = request.match_info["id"]
        scope = scope_of(request)
        hits = await self._searching.ask(
            lambda deadline: self._engine.get(event_id, scope=scope, deadline=deadline)
        )
        if not hits and ID_SHORTEST <= len(event_id) < ID_LENGTH:
            if not all(character.isalnum() or character in "-_." for character in event_id):
                raise UsageError(f"{event_id[:80]!r} is no beginning of an eventID")
            page = await self._searching.ask(
                lambda deadline: self._engine.search(
                    f"eventID:{event_id}*", limit=10, scope=scope, deadline=deadline
                )
            )
            hits = page.hits
        return json_answer({"events": [event_of(hit) for hit in hits]})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        query = text_parameter(request, "query", "*")
        left = number_parameter(request, "limit", PAGE_DEFAULT, STREAM_MAX)
        start, end = period_of(request, self._now_s())
        cursor = text_parameter(request, "cursor") or None
        scope = scope_of(request)
        response: web.StreamResponse | None = None
        while True:
            size = min(left, STREAM_PAGE)
            ask = functools.partial(self._page, query, start, end, size, cursor, scope)
            try:
                page = await self._searching.ask(ask)
            except Exception as error:
                if response is None:
                    raise
                # The status is sent already. What is left is to break off, so that a cut answer
                # cannot be taken for a whole one.
                _log.warning("a stream of events breaks off: %s", error)
                if request.transport is not None:
                    request.transport.abort()
                return response
            if response is None:
                # Only now: an error in the first page is still an answer with its own status.
                response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
                await response.prepare(request)
            if page.hits:
                await response.write(b"".join(hit.record + b"\n" for hit in page.hits))
            left -= len(page.hits)
            cursor = page.next_cursor
            if cursor is None or left <= 0:
                await response.write_eof()
                return response

    def _page(
        self,
        query: str,
        start: int | None,
        end: int | None,
        limit: int,
        cursor: str | None,
        scope: Scope,
        deadline: Deadline,
    ) -> Page:
        # The times of a search are fixed with its first page and travel in its cursor.
        return self._engine.search(
            query,
            start=None if cursor else start,
            end=None if cursor else end,
            limit=limit,
            cursor=cursor,
            scope=scope,
            deadline=deadline,
        )


def event_of(hit: Hit) -> dict[str, object]:
    """An event as JSON pages describe it; `raw` is the record byte for byte, as text."""
    return {
        "event_id": hit.event_id,
        "time": iso_time(hit.time_s),
        "account": hit.account,
        "region": hit.region,
        "position": hit.position,
        "raw": hit.record.decode("utf-8", "replace"),
    }


def scope_of(request: web.Request) -> Scope:
    """How far the caller may see."""
    caller: Caller = request[CALLER]
    return Scope(caller.accounts, caller.regions)
