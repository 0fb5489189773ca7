"""The quarantine over HTTP: list, show, and replay what was mended."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from opentrail.clock import Clock
from opentrail.errors import UsageError
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.api.access import CALLER
from opentrail_aggregator.api.answers import (
    NotFound,
    json_answer,
    json_body,
    number_parameter,
    text_parameter,
)
from opentrail_aggregator.api.inbox import Inbox
from opentrail_aggregator.api.times import iso_time
from opentrail_aggregator.home import Home
from opentrail_aggregator.quarantine.item import Item
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.quarantine.replay import AGENT, prepare_replay

PAGE_MAX = 1000
REPLAY_MAX_ITEMS = 20_000
"""In one call; a call with a reason goes on with the next ones when it is repeated."""


class QuarantineHandlers:
    """Reads the store directly; writes through ingest."""

    def __init__(self, home: Home, clock: Clock, inbox: Inbox) -> None:
        self._quarantine = Quarantine(home)
        self._clock = clock
        self._inbox = inbox

    async def list_items(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/quarantine?reason&after&limit`: newest first."""
        limit = number_parameter(request, "limit", 50, PAGE_MAX)
        found = await asyncio.to_thread(
            self._seen,
            request[CALLER].scope,
            text_parameter(request, "reason"),
            text_parameter(request, "after"),
            limit,
        )
        items = [described(item, replayed) for item, replayed in found]
        after = items[-1]["id"] if len(items) == limit else None
        return json_answer({"items": items, "after": after})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/quarantine/ID`."""
        item_id = request.match_info["id"]
        item = await asyncio.to_thread(self._quarantine.show, item_id)
        if item is None or not _covers(request[CALLER].scope, item):
            raise NotFound(f"{item_id[:80]}: nothing in quarantine has this id")
        replayed = await asyncio.to_thread(self._quarantine.replayed)
        return json_answer(described(item, item.id in replayed))

    async def replay(self, request: web.Request) -> web.StreamResponse:
        """`POST /api/quarantine/replay` with {"items": [ID, …]} or {"reason": REASON}."""
        body = await json_body(request)
        ids, reason = body.get("items") or [], body.get("reason") or ""
        if bool(ids) == bool(reason):
            raise UsageError("give either items (a list of ids) or reason")
        if not isinstance(ids, list) or not isinstance(reason, str):
            raise UsageError("items is a list of ids, reason is a text")
        items = await asyncio.to_thread(self._chosen, [str(each) for each in ids], reason)
        replay = prepare_replay(items)
        replayed = 0
        for payload, batch_ids in replay.batches:
            await self._inbox.submit(AGENT, payload)
            # After the submit: a crash in between leaves items that can be replayed again, whose
            # events are then copies. The other way round they would be lost.
            await self._inbox.append("replayed", {"ids": batch_ids, "at": self._clock.now_ns()})
            replayed += len(batch_ids)
        left = [{"id": item_id, "why": why} for item_id, why in replay.left]
        return json_answer({"replayed": replayed, "left": left})

    def _seen(self, scope: Scope, reason: str, after: str, limit: int) -> list[tuple[Item, bool]]:
        """The newest `limit` items behind `after` that somebody with `scope` may know of."""
        seen: list[tuple[Item, bool]] = []
        size = limit if scope.is_everything else PAGE_MAX
        while True:
            page = list(self._quarantine.list(reason=reason, after=after, limit=size))
            seen += [each for each in page if _covers(scope, each[0])]
            if len(page) < size or len(seen) >= limit:
                return seen[:limit]
            after = page[-1][0].id

    def _chosen(self, ids: list[str], reason: str) -> list[Item]:
        if reason:
            found = self._quarantine.list(reason=reason, limit=REPLAY_MAX_ITEMS, newest_first=False)
            return [item for item, replayed in found if not replayed]
        chosen = []
        for item_id in ids[:REPLAY_MAX_ITEMS]:
            item = self._quarantine.show(item_id)
            if item is None:
                raise NotFound(f"{item_id[:80]}: nothing in quarantine has this id")
            chosen.append(item)
        return chosen


def _covers(scope: Scope, item: Item) -> bool:
    """What could not be read may be of any account: it is for those who may see all."""
    return scope.is_everything or scope.covers(item.account, item.region)


def described(item: Item, replayed: bool) -> dict[str, Any]:
    """An item as answers show it."""
    found: dict[str, Any] = msgspec.to_builtins(item)
    found.pop("type", None)
    return found | {"at": iso_time(item.at // 1_000_000_000), "replayed": replayed}
