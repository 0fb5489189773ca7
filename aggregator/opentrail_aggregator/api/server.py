"""Opens the HTTP port and serves until told to stop."""

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from opentrail.clock import Clock
from opentrail.errors import ConfigError, OpenTrailError
from opentrail.files import DISK
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.access.sigv4 import SignatureError
from opentrail_aggregator.api.access import Denied, KeyAccess
from opentrail_aggregator.api.agents import AgentHandlers
from opentrail_aggregator.api.answers import NotFound, error_answer
from opentrail_aggregator.api.archive import ArchiveHandlers
from opentrail_aggregator.api.arrivals import Arrivals
from opentrail_aggregator.api.aws_errors import aws_error
from opentrail_aggregator.api.enrolment import EnrolmentHandlers
from opentrail_aggregator.api.events import EventHandlers
from opentrail_aggregator.api.inbox import OWN_STOPPING_SECONDS, Inbox
from opentrail_aggregator.api.own_events import OwnEvents, Submit
from opentrail_aggregator.api.own_record import OwnRecords
from opentrail_aggregator.api.quarantine import QuarantineHandlers
from opentrail_aggregator.api.routes import Route, add_routes
from opentrail_aggregator.api.s3 import S3Service
from opentrail_aggregator.api.searching import Searching
from opentrail_aggregator.api.services import AwsService, by_service
from opentrail_aggregator.api.settings import parse_address, refuse_open_plaintext, url_of
from opentrail_aggregator.api.status import StatusHandlers
from opentrail_aggregator.api.tailing import TailHandlers
from opentrail_aggregator.api.tls import HttpTls
from opentrail_aggregator.api.watching import WatchHandlers
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.cloudtrail.http import cloudtrail_services
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
        submit: Submit | None = None,
    ) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._inbox = Inbox(home)
        self._engine = engine
        self._destination = destination
        self._submit = submit or self._inbox.submit_own
        self._access = KeyAccess(
            KeyStore(home.keys, clock), clock, open_metrics=settings.http.open_metrics
        )
        self._own = OwnEvents(
            self._submit,
            OwnRecords(settings.install.account, settings.install.home_region, clock),
            clock,
            metrics,
            enabled=settings.http.audit,
        )
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
        self._enrolment = EnrolmentHandlers(settings, self._own, clock, metrics)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        async with self.serving():
            await stop.wait()
            self._watching.stopping = True
            self._inbox.own_seconds = OWN_STOPPING_SECONDS

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The port is open inside the block; gives its URL."""
        host, port = parse_address(self._settings.http.listen, "http.listen")
        refuse_open_plaintext(self._settings.http)
        tls = self._tls()
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
            async with self._own.folding():
                await self._listen(runner, host, port, tls)
                yield self._publish_endpoint(runner.addresses[0][1])
        finally:
            self._searching.close()
            self._own.close()
            self._inbox.close()
            await runner.cleanup()

    def _tls(self) -> ssl.SSLContext | None:
        files = self._settings.http.tls
        if files.certificate is None or files.key is None:
            return None
        return HttpTls(
            files.certificate,
            files.key,
            on_problem=lambda text: self._metrics.problem("http.certificate", text),
            on_healed=lambda: self._metrics.healed("http.certificate"),
        ).context()

    async def _listen(
        self, runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None
    ) -> None:
        """Open the port, waiting a while for a predecessor that is just dying."""
        until = self._clock.monotonic() + WAIT_SECONDS
        while True:
            try:
                await web.TCPSite(runner, host, port, ssl_context=tls).start()
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
            middlewares=[by_service(self._services(), self._access, self._own, self._metrics)],
        )
        add_routes(application, self._routes(), self._access, self._metrics, self._own)
        application.router.add_route("*", "/{anything:.*}", self._no_such_path)
        return application

    def _services(self) -> Mapping[str, AwsService]:
        """Who answers AWS's own clients, by the service that a request is signed for."""
        return {
            "s3": S3Service(self._destination, self._settings.install.home_region),
            **cloudtrail_services(
                self._settings,
                self._clock,
                self._metrics,
                self._engine,
                self._searching,
                self._destination,
                self._submit,
                self._own,
            ),
        }

    def _routes(self) -> list[Route]:
        watching, events = self._watching, self._events
        agents, quarantine, archive = self._agents, self._quarantine, self._archive
        list_items, replay = quarantine.list_items, quarantine.replay
        item, retire = "/api/quarantine/{id}", "/api/agents/{name}/retire"
        get_object = archive.get_object
        return [
            Route("GET", "/health/live", "probe", watching.live),
            Route("GET", "/health/ready", "probe", watching.ready),
            Route("GET", "/enrol/authority/{id}", "enrol", self._enrolment.authority),
            Route("POST", "/enrol", "enrol", self._enrolment.enrol),
            Route("GET", "/health/delivery", "observe", watching.delivery, whole=True),
            Route("GET", "/metrics", "observe", watching.metrics, whole=True),
            Route("GET", "/api/status", "inspect", self._status.status, whole=True),
            Route("GET", "/api/events", "search", events.list_events, "SearchEvents"),
            Route("GET", "/api/events/{id}", "search", events.get_event, "GetEvent"),
            Route("GET", "/api/tail", "search", self._tail.tail, "TailEvents"),
            Route("GET", "/api/count", "search", events.count, "CountEvents"),
            Route("GET", "/api/agents", "inspect", agents.list_agents, "ListAgents", whole=True),
            Route("POST", retire, "operate", agents.retire, "RetireAgent", whole=True),
            Route("GET", "/api/quarantine", "inspect", list_items, "ListQuarantine"),
            Route("GET", item, "inspect", quarantine.show, "GetQuarantineItem"),
            Route("POST", "/api/quarantine/replay", "operate", replay, "ReplayQuarantine",
                  whole=True),
            Route("GET", "/api/archive", "inspect", archive.list_objects, "ListArchive"),
            Route("GET", "/api/archive/{bucket}/{key:.+}", "inspect", get_object,
                  "GetArchiveObject"),
        ]  # fmt: skip

    def _publish_endpoint(self, port: int) -> str:
        """Leave word for commands on this machine of where to ask."""
        url = url_of(self._settings.http, port)
        certificate = self._settings.http.tls.certificate
        self._home.run.mkdir(parents=True, exist_ok=True)
        content = {
            "url": url,
            "grpc": self._settings.grpc.listen,
            "pid": os.getpid(),
            "region": self._settings.install.home_region,
            "certificate": None if certificate is None else str(certificate.absolute()),
        }
        DISK.replace_volatile(self._home.run / ENDPOINT, json.dumps(content).encode())
        return url

    async def _no_such_path(self, request: web.Request) -> web.StreamResponse:
        """A path that nobody answers: strangers learn no more of it than of one that is there."""
        try:
            await self._access.authenticate(request)
        except SignatureError as error:
            try:
                await self._own.refused(request, error.code, error.message)
            except OpenTrailError as trouble:
                return error_answer(trouble)
            if request.path.startswith("/api/"):
                return error_answer(Denied(error.message, error.code))
            # AWS's clients without a signature: what they ask cannot be told from it.
            is_json = "X-Amz-Target" in request.headers
            return aws_error("cloudtrail" if is_json else "s3", error.code, error.message)
        return error_answer(
            NotFound(f"{request.method} {request.path[:200]}: there is no such path")
        )
