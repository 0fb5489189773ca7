"""Status over HTTP: the sums, the agents, the room that is left, and what is wrong.

Counting looks into every store, so there is one count at a time. Who only wants to show how things
go (the screen of `opentrail up`) takes a recent one: a count that took long is shown for longer.
"""

import asyncio
import shutil
from typing import Any

from aiohttp import web

from opentrail.clock import Clock
from opentrail_aggregator.api.agents import agents_of, own_events_of
from opentrail_aggregator.api.answers import json_answer, text_parameter
from opentrail_aggregator.api.health import values
from opentrail_aggregator.api.times import iso_time
from opentrail_aggregator.api.watching import WatchHandlers, problems_of
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.consolidate.agents import AgentsView
from opentrail_aggregator.home import Home
from opentrail_aggregator.status.counting import CountsStores
from opentrail_aggregator.status.room import Room, Trend
from opentrail_aggregator.status.sums import described
from opentrail_aggregator.version import VERSION

FRESH_SECONDS = 0.5
FRESH_FACTOR = 10.0
"""A count that took a second is shown for ten: looking must not become the main work."""


class StatusHandlers:
    """Counts, at most one count at a time."""

    def __init__(
        self,
        home: Home,
        settings: AggregatorSettings,
        clock: Clock,
        stores: CountsStores,
        watching: WatchHandlers,
    ) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._stores = stores
        self._watching = watching
        self._agents = AgentsView(home)
        self._trend = Trend(settings.disk.reserve, settings.log.max_bytes)
        self._counting = asyncio.Lock()
        self._sums: dict[str, Any] = {}
        self._fresh_until = 0.0

    async def status(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/status`; `recount=1` opens everything, `cached=1` takes a recent count."""
        recount = text_parameter(request, "recount") == "1"
        cached = text_parameter(request, "cached") == "1"
        sums = await self._count(recount=recount, cached=cached)
        snapshots, health = self._watching.health()
        table = await asyncio.to_thread(self._agents.read)
        now_ns = self._clock.now_ns()
        searched = "index" if self._settings.search_engine == "embedded" else "opensearch"
        stages = ("consolidate", searched)
        lags = [
            max(values(snapshots[role], f"opentrail_{role}_lag_seconds"), default=0.0)
            for role in stages
            if health.up.get(role)
        ]
        return json_answer(
            {
                "version": VERSION,
                "at": iso_time(now_ns // 1_000_000_000),
                **sums,
                "recounted": recount,
                "lag_seconds": round(sum(lags), 3) if len(lags) == len(stages) else None,
                "own_events": own_events_of(table),
                "agents": agents_of(table, now_ns),
                "grants": table.settings.get("grants", []),
                "room": self._room(snapshots),
                "retention_days": self._settings.retention.days,
                "ready": health.ready,
                "delivery": health.delivery,
                "problems": problems_of(health),
            }
        )

    async def _count(self, *, recount: bool, cached: bool) -> dict[str, Any]:
        async with self._counting:
            started = self._clock.monotonic()
            if cached and not recount and started < self._fresh_until:
                return self._sums
            # Shielded: a caller who goes away must not let two counts run over the same readers.
            counted = asyncio.ensure_future(
                asyncio.to_thread(self._stores.figures, recount=recount)
            )
            try:
                figures = await asyncio.shield(counted)
            except asyncio.CancelledError:
                await asyncio.wait([counted])
                raise
            took = self._clock.monotonic() - started
            self._sums = described(figures)
            self._fresh_until = self._clock.monotonic() + max(FRESH_SECONDS, FRESH_FACTOR * took)
            return self._sums

    def _room(self, snapshots: dict[str, Any]) -> dict[str, Any]:
        log_bytes = max(
            values(snapshots.get("ingest", {"metrics": []}), "opentrail_log_bytes"), default=0.0
        )
        free = shutil.disk_usage(self._home.path).free
        room: Room = self._trend.look(self._clock.monotonic(), free, int(log_bytes))
        return {
            "free_bytes": room.free_bytes,
            "reserve_bytes": room.reserve_bytes,
            "log_bytes": room.log_bytes,
            "log_max_bytes": room.log_max_bytes,
            "bytes_per_second": round(room.bytes_per_second),
            "seconds_to_full": None
            if room.seconds_to_full is None
            else round(room.seconds_to_full),
        }
