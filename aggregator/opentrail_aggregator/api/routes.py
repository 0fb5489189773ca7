"""Every path of the HTTP port, what it lets somebody do, and who answers it.

A handler is reachable only through this table, and the table only through `Access.admit`: a path
without an action cannot be written. What is asked, or refused, is an event in the trail before the
answer leaves (`own_events.py`). Requests of AWS's clients were told apart before (`services.py`).
"""

from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from opentrail_aggregator.access.scope import Action
from opentrail_aggregator.api.access import CALLER, Access, Denied
from opentrail_aggregator.api.answers import Handler, guarded
from opentrail_aggregator.api.own_events import OwnEvents
from opentrail_aggregator.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Route:
    """One path."""

    method: str
    path: str
    action: Action
    handler: Handler
    event: str = ""
    """The eventName of a call in the trail; empty for health, metrics and status, which have to
    answer when nothing can be written."""
    whole: bool = False
    """It speaks of every account, so it needs a key for all of them."""


def add_routes(
    application: web.Application,
    routes: list[Route],
    access: Access,
    metrics: Metrics,
    own: OwnEvents,
) -> None:
    """Serve `routes`, each behind `access` and with its errors made answers."""
    for route in routes:
        handler = guarded(_admitted(route, access, own), route.path, metrics)
        application.router.add_route(route.method, route.path, handler)


def _admitted(route: Route, access: Access, own: OwnEvents) -> Handler:
    async def admitted(request: web.Request) -> web.StreamResponse:
        try:
            caller = await access.admit(request, route.action, whole=route.whole)
        except Denied as denied:
            await own.refused(request, denied.code, str(denied), key_id=denied.key_id)
            raise
        request[CALLER] = caller
        if route.event:
            parameters = await _parameters(request)
            # A tail asks again and again for what comes next: that is one use, not hundreds.
            goes_on = route.event == "TailEvents" and parameters.pop("after", None)
            await own.called(
                request,
                caller,
                _name(route, parameters),
                parameters,
                read_only=route.method == "GET",
                folded_by=f"after {parameters.get('query', '*')}" if goes_on else "",
            )
        return await route.handler(request)

    return admitted


def _name(route: Route, parameters: dict[str, Any]) -> str:
    is_export = route.event == "SearchEvents" and parameters.get("format") == "ndjson"
    return "ExportEvents" if is_export else route.event


async def _parameters(request: web.Request) -> dict[str, Any]:
    """What was asked, as far as it can be read; whether it is right is the handler's matter."""
    found: dict[str, Any] = {**request.query, **request.match_info}
    if request.can_read_body:
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            body = {}
        if isinstance(body, dict):
            found |= body
    return found
