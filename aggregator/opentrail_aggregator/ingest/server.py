"""The ingest role: opens the log, listens for agents and for the other roles, keeps the house.

    start   lock → log → ledger → unix socket → port          each may have to wait for a dying one
    stop    port closed → what is on its way is acknowledged → ledger → log → lock

Reflection is off: whoever may speak knows the protocol. A log that cannot be opened is no reason to
end: the role stays up, says what is wrong, and tries again, so `status` has an answer."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from opentrail.clock import Clock
from opentrail.errors import ConfigError, OpenTrailError
from opentrail.files import DISK
from opentrail.limits import BATCH_MAX_BYTES, MIB
from opentrail.v1 import ingest_pb2_grpc
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.agents_view import agents_view
from opentrail_aggregator.ingest.books import Books
from opentrail_aggregator.ingest.committer import Committer
from opentrail_aggregator.ingest.identities import Identities
from opentrail_aggregator.ingest.inside import ControlService
from opentrail_aggregator.ingest.reception import Reception
from opentrail_aggregator.ingest.settings import Grant, GrpcSettings
from opentrail_aggregator.ingest.socket_path import SocketAddress
from opentrail_aggregator.ingest.stream import AgentStream
from opentrail_aggregator.ingest.tls import ServerTls, TlsFiles
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.supervise.lock import acquire_lock
from opentrail_aggregator.wal.holdup import Holdup
from opentrail_aggregator.wal.log import LogError
from opentrail_aggregator.wal.room import Room, free_bytes

if TYPE_CHECKING:
    from opentrail_aggregator.config import AggregatorSettings

MESSAGE_MAX_BYTES = BATCH_MAX_BYTES + 2 * MIB
"""A batch a little too large gets a refusal that says so; a larger message ends its call."""
TYPICAL_BATCH_BYTES = 256 * 1024
TURN_SECONDS = 0.25
_SETTINGS = "opentrail/settings"
"""Whose turn it is when grants are written."""
_log = logging.getLogger(__name__)

Context = Any


class IngestServer:
    """The role `ingest`."""

    name = "ingest"

    def __init__(
        self, home: Home, settings: "AggregatorSettings", clock: Clock, metrics: Metrics
    ) -> None:
        self.port = 0
        """Where it listens, once it does."""
        self.started = asyncio.Event()
        self._home = home
        self._clock = clock
        self.metrics = metrics
        self._ingest = settings.ingest
        self._listen = settings.grpc
        self._log = settings.log
        self._disk = settings.disk
        self._holdup = Holdup(settings.log.max_bytes)
        self._settings = settings
        self._logical: dict[str, Any] = {}
        self._books: Books
        self._committer: Committer
        self._reception: Reception
        self._room: Room
        self._tls: ServerTls
        self._identities: Identities

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        lock = await asyncio.to_thread(
            acquire_lock, self._home.log / "lock", self._clock, self._log.lock_wait
        )
        try:
            if await self._open(stop):
                await self._serve(stop)
        finally:
            lock.release()

    async def reload(self, settings: "AggregatorSettings") -> None:
        """Take up the grants of a configuration that was read again; the rest needs a start."""
        self._settings = settings
        await self._identities.configure(settings)

    async def _open(self, stop: asyncio.Event) -> bool:
        """Open log and ledger, however long that takes to become possible."""
        self._identities = Identities(
            self._home, self._settings, self._clock, self.metrics, self._write_grants
        )
        self._logical = logical_settings(self._settings, self._identities.grants)
        while not stop.is_set():
            try:
                self._books = await asyncio.to_thread(
                    Books, self._home, self._log, self._logical, self._clock
                )
            except (OSError, OpenTrailError) as error:
                self.metrics.problem("log.closed", f"the log cannot be opened: {error}")
                _log.error("the log cannot be opened, trying again: %s", error)
                await self._pause(stop, 1.0)
                continue
            self.metrics.healed("log.closed")
            break
        else:
            return False
        books = self._books
        for finding in books.findings:
            _log.warning("%s", finding)
        if books.lost_positions:
            self.metrics.increment("opentrail_log_damaged_total", books.lost_positions)
        self._committer = Committer(books.thread, on_failed=self._log_failed)
        self._room = Room(
            self._log,
            self._disk,
            self._clock,
            lambda: books.log.size_bytes + self._committer.pending_bytes,
            lambda: free_bytes(self._home.log),
        )
        self._reception = Reception(
            self._ingest,
            self._identities,
            books.ledger,
            self._committer,
            self._refusal,
            self._clock,
            self.metrics,
        )
        return True

    async def _serve(self, stop: asyncio.Event) -> None:
        control = grpc.aio.server(options=[("grpc.max_receive_message_length", MESSAGE_MAX_BYTES)])
        ingest_pb2_grpc.add_ControlServicer_to_server(
            ControlService(
                self._books.ledger, self._committer, self._refusal, self._clock, self.metrics
            ),
            control,
        )
        server = grpc.aio.server(options=_options(self._listen))
        ingest_pb2_grpc.add_IngestServicer_to_server(_ShipService(self), server)
        ingest_pb2_grpc.add_IdentityServicer_to_server(self._identities, server)
        address = await self._listen_inside(control)
        try:
            await self._listen_outside(server, stop)
            await server.start()
            self.started.set()
            await self._keep_house(stop)
        finally:
            await self._close(server, control)
            address.close()

    async def ship(self, context: Context) -> None:
        """One agent's stream."""
        streams = len(self._reception.visits())
        if streams >= self._listen.connections_max:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{streams} agents are connected (grpc.connections_max); try again later",
            )
        stream = AgentStream(
            self._reception, self._identities, self._committer, self._clock, context
        )
        await stream.run(self._listen.hello)

    async def _write_grants(self, grants: tuple[Grant, ...]) -> None:
        """The log says for whom agents speak from here on. Raises LogError."""
        logical = logical_settings(self._settings, grants)
        frame = self._books.settings_frame(logical)
        await self._committer.append(_SETTINGS, frame)
        self._books.ledger.settings_digest = hashlib.sha256(frame.payload).hexdigest()
        self._logical = logical
        _log.info("grants changed: %d are in force", len(grants))

    # Listening.

    async def _listen_inside(self, control: "grpc.aio.Server") -> SocketAddress:
        self._home.run.mkdir(parents=True, exist_ok=True)
        address = SocketAddress(self._home.run)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.path)  # Left by a killed one; the lock says that nobody uses it.
        mask = os.umask(0o177)  # The socket is private from its first moment.
        try:
            control.add_insecure_port(address.target)
            await control.start()
        finally:
            os.umask(mask)
        return address

    async def _listen_outside(self, server: "grpc.aio.Server", stop: asyncio.Event) -> None:
        tls = ServerTls(
            _tls_files(self._listen, self._home),
            on_problem=lambda text: self.metrics.problem("ingest.certificate", text),
            on_healed=lambda: self.metrics.healed("ingest.certificate"),
        )
        self._tls = tls
        credentials = tls.credentials()
        until = self._clock.monotonic() + self._log.lock_wait
        while True:
            try:
                self.port = server.add_secure_port(self._listen.listen, credentials)
                return
            except RuntimeError as error:
                if stop.is_set() or self._clock.monotonic() >= until:
                    raise ConfigError(
                        f"grpc.listen: {self._listen.listen} cannot be listened on ({error}); stop "
                        "what uses it, or choose another port"
                    ) from error
            await self._pause(stop, 0.2)

    async def _close(self, server: "grpc.aio.Server", control: "grpc.aio.Server") -> None:
        """Acknowledge what is on its way, within the time there is; the rest is sent again."""
        until = self._clock.monotonic() + self._listen.drain
        for visit in self._reception.visits():
            visit.is_over = True  # Nothing more is read from it.
        while not self._committer.is_idle and self._clock.monotonic() < until:
            await self._clock.sleep(0.01)
        for visit in self._reception.visits():
            visit.answers.close()
        await asyncio.gather(server.stop(self._listen.drain), control.stop(self._listen.drain))
        await asyncio.to_thread(self._books.close)

    # Keeping house.

    async def _keep_house(self, stop: asyncio.Event) -> None:
        turn = 0
        while not stop.is_set():
            self._resume()
            self._look_at_room()
            self._tidy_log(may_release=turn % 4 == 0 or self._books.is_pressed)
            if turn % 4 == 0:
                self._let_idle_go()
                self._tls.look()
                await self._look_at_identities()
                self._reception.expire_alarms()
                self._publish()
            turn += 1
            await self._pause(stop, TURN_SECONDS)

    def _tidy_log(self, *, may_release: bool) -> None:
        books, clock = self._books, self._clock
        try:
            books.save_if_rotated()
            if may_release:
                books.release()
                position, size = books.thread.durable_position, books.log.size_bytes
                self._holdup.look(clock.monotonic(), clock.now_ns(), books.limits, position, size)
            self.metrics.healed("log.house")
        except (OSError, OpenTrailError) as error:
            self.metrics.problem("log.house", f"segments cannot be released: {error}")

    def _log_failed(self, error: LogError) -> None:
        _log.error("%s", error)
        self.metrics.increment("opentrail_log_failures_total")
        self.metrics.problem("log.failed", str(error))

    def _resume(self) -> None:
        thread = self._books.thread
        if not thread.is_alive:
            # Only a new process helps; the supervisor starts one.
            raise thread.trouble or LogError("the thread that writes the log has died")
        if thread.trouble is None:
            return
        if thread.resume():
            self.metrics.healed("log.failed")
            self._reception.retry_endings()
            _log.info("the log is open again at position %d", thread.durable_position)
        else:
            self.metrics.problem("log.failed", str(thread.trouble))

    def _refusal(self, size: int, is_control: bool) -> str:
        trouble = self._books.thread.trouble
        return str(trouble) if trouble else self._room.refusal(size, is_control=is_control)

    def _look_at_room(self) -> None:
        full = self._room.problem(TYPICAL_BATCH_BYTES)
        if full:
            why = f"; {self._holdup.text}" if self._holdup.text else ""
            self.metrics.problem("log.full", f"batches are refused: {full}{why}")
        else:
            self.metrics.healed("log.full")
        if self._holdup.text:
            self.metrics.problem("log.held", self._holdup.text)
        else:
            self.metrics.healed("log.held")

    async def _look_at_identities(self) -> None:
        self._reception.end_disbelieved()
        try:
            await self._identities.keep_up()
            self.metrics.healed("ingest.grants")
        except LogError as error:
            self.metrics.problem("ingest.grants", f"grants that changed wait for the log: {error}")

    def _let_idle_go(self) -> None:
        oldest = self._clock.monotonic() - self._listen.idle
        for visit in self._reception.visits():
            if visit.heard_at < oldest:
                visit.is_over = True
                visit.answers.close()

    def _publish(self) -> None:
        books, metrics, reception = self._books, self.metrics, self._reception
        space = self._room.space()
        metrics.set("opentrail_ingest_streams", len(reception.visits()))
        metrics.set("opentrail_ingest_epochs", len(books.ledger))
        metrics.set("opentrail_ingest_waiting_bytes", self._committer.pending_bytes)
        metrics.set("opentrail_log_position", books.thread.durable_position)
        metrics.set("opentrail_log_first_position", books.first_position())
        metrics.set("opentrail_log_bytes", books.log.size_bytes)
        metrics.set("opentrail_disk_free_bytes", space.free_bytes)
        median, late = reception.latencies.quantiles(self._clock.monotonic(), 0.5, 0.99)
        metrics.set("opentrail_ingest_ack_seconds", median, quantile="0.5")
        metrics.set("opentrail_ingest_ack_seconds", late, quantile="0.99")
        if books.damage:
            metrics.problem("log.damage", "; ".join(books.damage[-3:]))
        view = {
            "log_id": books.log.log_id,
            "at_ns": self._clock.now_ns(),
            "grants": self._logical.get("grants", []),
            "agents": agents_view(books.ledger, reception.places),
        }
        try:
            DISK.replace_volatile(self._home.run / "agents.json", json.dumps(view).encode())
        except OSError as error:
            _log.warning("run/agents.json cannot be written: %s", error)

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


class _ShipService(ingest_pb2_grpc.IngestServicer):
    def __init__(self, ingest: IngestServer) -> None:
        self._ingest = ingest

    # An aio handler may write to the context; the generated types know of iterators only.
    async def Ship(  # type: ignore[override]
        self, request_iterator: object, context: Context
    ) -> None:
        await self._ingest.ship(context)


def logical_settings(settings: "AggregatorSettings", grants: tuple[Grant, ...]) -> dict[str, Any]:
    """The settings that decide results; the log holds them, so that it explains itself."""
    return {
        "account": settings.install.account,
        "home_region": settings.install.home_region,
        "global_services": list(settings.install.global_services),
        "grants": [
            {
                "agent": grant.agent,
                "accounts": list(grant.accounts),
                "regions": list(grant.regions),
            }
            for grant in grants
        ],
    }


def _tls_files(settings: GrpcSettings, home: Home) -> TlsFiles:
    return TlsFiles(
        settings.certificate or home.pki / "server.crt",
        settings.key or home.pki / "server.key",
        settings.authority or home.pki / "ca.crt",
    )


def _options(settings: GrpcSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
        ("grpc.max_concurrent_streams", 16),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.max_connection_age_ms", int(settings.connection_age * 1000)),
        ("grpc.max_connection_age_grace_ms", int(settings.connection_age_grace * 1000)),
        ("grpc.max_connection_idle_ms", int(settings.idle * 1000)),
        # A half-open connection is noticed within 20 s.
        ("grpc.keepalive_time_ms", 12_000),
        ("grpc.keepalive_timeout_ms", 6_000),
        # gRPC waits a minute for the answer to a ping of its own unless told otherwise.
        ("grpc.http2.ping_timeout_ms", 6_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # Two servers on one port would share the agents between two logs.
        ("grpc.so_reuseport", 0),
    ]
