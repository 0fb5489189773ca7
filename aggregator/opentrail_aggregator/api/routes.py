"""Every path of the HTTP port, what it lets somebody do, and who answers it.

A handler is reachable only through this table, and the table only through `Access.admit`: a path
without an action cannot be written. CloudTrail's own API, S3 and STS will be told apart here too,
by the service in a request's signature, before its path is looked at.
"""

from dataclasses import dataclass

from aiohttp import web

from opentrail_aggregator.api.access import CALLER, Access, Action
from opentrail_aggregator.api.answers import Handler, guarded
from opentrail_aggregator.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Route:
    """One path."""

    method: str
    path: str
    action: Action
    handler: Handler


def add_routes(
    application: web.Application, routes: list[Route], access: Access, metrics: Metrics
) -> None:
    """Serve `routes`, each behind `access` and with its errors made answers."""
    for route in routes:
        handler = guarded(_admitted(route, access), route.path, metrics)
        application.router.add_route(route.method, route.path, handler)


def _admitted(route: Route, access: Access) -> Handler:
    async def admitted(request: web.Request) -> web.StreamResponse:
        request[CALLER] = access.admit(request, route.action)
        return await route.handler(request)

    return admitted
