"""Opens the HTTP port and serves until told to stop."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator

from aiohttp import web

from opentrail.clock import Clock
from opentrail.errors import ConfigError
from opentrail.files import DISK
from opentrail_aggregator.api.access import LoopbackAccess
from opentrail_aggregator.api.agents import AgentHandlers
from opentrail_aggregator.api.answers import NotFound, error_answer
from opentrail_aggregator.api.archive import ArchiveHandlers
from opentrail_aggregator.api.arrivals import Arrivals
from opentrail_aggregator.api.events import EventHandlers
from opentrail_aggregator.api.inbox import Inbox
from opentrail_aggregator.api.quarantine import QuarantineHandlers
from opentrail_aggregator.api.routes import Route, add_routes
from opentrail_aggregator.api.searching import Searching
from opentrail_aggregator.api.settings import parse_address, refuse_other_than_loopback
from opentrail_aggregator.api.status import StatusHandlers
from opentrail_aggregator.api.tailing import TailHandlers
from opentrail_aggregator.api.watching import WatchHandlers
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.search.engine import Engine
from opentrail_aggregator.status.counting import CountsStores

ENDPOINT = "endpoint.json"
BODY_MAX_BYTES = 1024 * 1024
STOP_SECONDS = 2.0
WAIT_SECONDS = 10.0
_HEAD_MAX_BYTES = 32 * 1024


class ApiServer:
    """The role `api`."""

    name = "api"

    def __init__(
        self,
        home: Home,
        settings: AggregatorSettings,
        clock: Clock,
        metrics: Metrics,
        engine: Engine,
        stores: CountsStores,
        arrivals: Arrivals,
        destination: Destination,
    ) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._inbox = Inbox(home)
        self._searching = Searching(
            settings.http.search_threads, settings.search.deadline_seconds, clock, metrics
        )
        self._watching = WatchHandlers(home, clock, settings.http.delivery_lag_max, metrics)
        self._events = EventHandlers(engine, self._searching, clock)
        self._tail = TailHandlers(arrivals, self._searching, clock)
        self._status = StatusHandlers(home, settings, clock, stores, self._watching)
        self._agents = AgentHandlers(home, clock, self._inbox)
        self._quarantine = QuarantineHandlers(home, clock, self._inbox)
        self._archive = ArchiveHandlers(destination)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        async with self.serving():
            await stop.wait()
            self._watching.stopping = True

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The port is open inside the block; gives its URL."""
        host, port = parse_address(self._settings.http.listen, "http.listen")
        refuse_other_than_loopback(host, port)
        application = self._application()
        # Without handler_cancellation a search would go on for a client that is gone.
        runner = web.AppRunner(
            application,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=STOP_SECONDS,
        )
        await runner.setup()
        try:
            await self._listen(runner, host, port)
            url = self._publish_endpoint(host, runner.addresses[0][1])
            yield url
        finally:
            self._searching.close()
            self._inbox.close()
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, host: str, port: int) -> None:
        """Open the port, waiting a while for a predecessor that is just dying."""
        until = self._clock.monotonic() + WAIT_SECONDS
        while True:
            try:
                await web.TCPSite(runner, host, port).start()
                return
            except OSError as error:
                if self._clock.monotonic() >= until:
                    raise ConfigError(
                        f"http.listen: {self._settings.http.listen} cannot be opened "
                        f"({error.strerror}); is another server there? choose another with --http"
                    ) from error
            await self._clock.sleep(0.1)

    def _application(self) -> web.Application:
        application = web.Application(
            client_max_size=BODY_MAX_BYTES,
            handler_args={"max_field_size": _HEAD_MAX_BYTES, "max_line_size": _HEAD_MAX_BYTES},
        )
        add_routes(application, self._routes(), LoopbackAccess(), self._metrics)
        application.router.add_route("*", "/{anything:.*}", _no_such_path)
        return application

    def _routes(self) -> list[Route]:
        watching = self._watching
        return [
            Route("GET", "/health/live", "probe", watching.live),
            Route("GET", "/health/ready", "probe", watching.ready),
            Route("GET", "/health/delivery", "observe", watching.delivery),
            Route("GET", "/metrics", "observe", watching.metrics),
            Route("GET", "/api/events", "search", self._events.list_events),
            Route("GET", "/api/events/{id}", "search", self._events.get_event),
            Route("GET", "/api/tail", "search", self._tail.tail),
            Route("GET", "/api/count", "search", self._events.count),
            Route("GET", "/api/status", "inspect", self._status.status),
            Route("GET", "/api/agents", "inspect", self._agents.list_agents),
            Route("POST", "/api/agents/{name}/retire", "operate", self._agents.retire),
            Route("GET", "/api/quarantine", "inspect", self._quarantine.list_items),
            Route("GET", "/api/quarantine/{id}", "inspect", self._quarantine.show),
            Route("POST", "/api/quarantine/replay", "operate", self._quarantine.replay),
            Route("GET", "/api/archive", "inspect", self._archive.list_objects),
            Route("GET", "/api/archive/{bucket}/{key:.+}", "inspect", self._archive.get_object),
        ]

    def _publish_endpoint(self, host: str, port: int) -> str:
        """Leave word for commands on this machine of where to ask."""
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._home.run.mkdir(parents=True, exist_ok=True)
        content = json.dumps(
            {"url": url, "grpc": self._settings.grpc.listen, "pid": os.getpid()}
        ).encode()
        DISK.replace_volatile(self._home.run / ENDPOINT, content)
        return url


async def _no_such_path(request: web.Request) -> web.StreamResponse:
    return error_answer(NotFound(f"{request.method} {request.path[:200]}: there is no such path"))
