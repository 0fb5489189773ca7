"""`GET /api/tail`: the next events that become searchable, waited for if there are none yet."""

import asyncio

from aiohttp import web

from opentrail.clock import Clock
from opentrail.errors import UsageError
from opentrail_aggregator.api.answers import json_answer, number_parameter, text_parameter
from opentrail_aggregator.api.arrivals import Arrivals, Arrived
from opentrail_aggregator.api.events import event_of, scope_of
from opentrail_aggregator.api.searching import Searching
from opentrail_aggregator.search.engine import Deadline

LOOK_SECONDS = 0.2
WAIT_MAX_SECONDS = 60
PAGE_MAX = 1000


class TailHandlers:
    """Long polls: an answer comes when there is something new, or when the wait is over."""

    def __init__(self, arrivals: Arrivals, searching: Searching, clock: Clock) -> None:
        self._arrivals = arrivals
        self._searching = searching
        self._clock = clock

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/tail?query&after&wait`: without `after`, only what comes from now on."""
        query = text_parameter(request, "query", "*")
        wait = number_parameter(request, "wait", 20, WAIT_MAX_SECONDS)
        after = await self._place(text_parameter(request, "after"))
        scope = scope_of(request)
        until = self._clock.monotonic() + wait

        def look(deadline: Deadline) -> Arrived:
            return self._arrivals.since(query, after, PAGE_MAX, scope, deadline)

        found = await self._searching.ask(look)
        while not found.hits and self._clock.monotonic() < until:
            after = found.through
            await self._clock.sleep(LOOK_SECONDS)
            # Most looks find nothing new at all: that is one small read, not a search.
            if await asyncio.to_thread(self._arrivals.through) > after:
                found = await self._searching.ask(look)
        return json_answer(
            {"events": [event_of(hit) for hit in found.hits], "after": str(found.through)}
        )

    async def _place(self, text: str) -> int:
        if not text:
            return await asyncio.to_thread(self._arrivals.through)
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise UsageError(f"after: {text[:40]!r} was not given by an earlier answer")
        return int(text)
