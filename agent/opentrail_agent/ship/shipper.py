"""One connection after another, for as long as the agent lives."""

import asyncio
import contextlib
import logging
import random
import socket
from pathlib import Path

from opentrail import __version__
from opentrail.clock import Clock
from opentrail.v1 import ingest_pb2 as pb
from opentrail.v1 import ingest_pb2_grpc
from opentrail_agent.metrics import Metrics
from opentrail_agent.ship.backoff import Backoff
from opentrail_agent.ship.connection import Connection
from opentrail_agent.ship.dial import CertificateError, dial
from opentrail_agent.ship.heartbeat import Reporter
from opentrail_agent.ship.pulse import Pulse
from opentrail_agent.ship.session import PROTOCOL, HangUp, Held, Retry, Session
from opentrail_agent.ship.settings import ShipSettings
from opentrail_agent.spool.writer import SpoolWriter

CLOSE_SECONDS = 2.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ESTABLISHED_SECONDS = 10.0
"""A connection that lived so long ended for a new reason: no back-off is carried over."""

_log = logging.getLogger(__name__)


class Shipper:
    """Sends what the spool holds until it is told to stop, or, for an import, until all is held."""

    name = "ship"

    def __init__(
        self,
        settings: ShipSettings,
        agent: str,
        spool: SpoolWriter,
        reporter: Reporter,
        clock: Clock,
        metrics: Metrics,
        generator: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._agent = agent
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._pulse = Pulse(reporter, settings.heartbeat_seconds)
        self._backoff = Backoff(
            settings.addresses,
            initial_seconds=settings.backoff_initial_seconds,
            max_seconds=settings.backoff_max_seconds,
            generator=generator or random.Random(),
        )
        self._connection: Connection | None = None
        spool.on_growth(self._wake)

    def beat_now(self) -> None:
        """Send a heartbeat as soon as possible; an import that ended should be known at once."""
        self._pulse.beat_now()
        self._wake()

    def finish(self) -> None:
        """Nothing more will be captured: end when everything is acknowledged and that is said."""
        self._pulse.is_finishing = True
        self._wake()

    async def run(self) -> None:
        """Ship forever; returns only after `finish`. Safe to cancel at any await."""
        while True:
            begun_at = self._clock.monotonic()
            address = self._backoff.address
            end, progressed = await self._connect(address)
            if end.key == "finished":
                return
            lived = self._clock.monotonic() - begun_at
            await self._clock.sleep(self._wait_after(address, end, progressed, lived))

    def _wait_after(self, address: str, end: HangUp, progressed: bool, lived: float) -> float:
        """Count and tell the end of a connection; the seconds until the next."""
        self._metrics.increment("opentrail_agent_connect_failures_total", why=end.key)
        if progressed or (lived >= ESTABLISHED_SECONDS and end.key != "unreachable"):
            self._backoff.succeeded()
        if end.retry is Retry.NOW:
            _log.info("%s: %s; connecting again", address, end.reason)
            return self._backoff.again()
        wait = self._backoff.failed()
        self._metrics.problem("uplink", f"{address}: {end.reason}")
        _log.debug("trying %s in %.2f s", self._backoff.address, wait)
        return wait

    async def _connect(self, address: str) -> tuple[HangUp, bool]:
        self._metrics.increment("opentrail_agent_connects_total")
        try:
            channel = dial(address, self._settings.tls.certificates())
        except CertificateError as error:
            return HangUp(Retry.LATER, "certificates", str(error)), False
        session = Session(
            Held(
                self._spool.first_sequence,
                self._spool.standing.acknowledged_through,
                self._spool.last_sequence,
                self._spool.standing.log_id,
            ),
            window=self._settings.window,
            answer_seconds=self._settings.answer_seconds,
            full_seconds=self._settings.full_seconds,
        )
        stream = ingest_pb2_grpc.IngestStub(channel).Ship()
        connection = Connection(
            address, stream, session, self._spool, self._pulse, self._clock, self._metrics
        )
        self._connection = connection
        try:
            end = await connection.run(self._hello(), self._settings.welcome_seconds)
            return end, session.progressed
        finally:
            self._connection = None
            self._metrics.set("opentrail_agent_connected", 0)
            stream.cancel()
            # Not wait_for, which can swallow a cancellation that comes as its work ends.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await channel.close()

    def _hello(self) -> pb.Hello:
        standing = self._spool.standing
        return pb.Hello(
            protocol=PROTOCOL,
            agent=self._agent,
            epoch=standing.epoch,
            next_sequence=standing.acknowledged_through + 1,
            bound_log_id=standing.log_id,
            version=__version__,
            host=socket.gethostname(),
            machine=machine(),
        )

    def _wake(self) -> None:
        if self._connection is not None:
            self._connection.wake()


def machine() -> str:
    """What differs between any two machines that run, clones too; empty where nothing tells."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
