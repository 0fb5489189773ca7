"""Whom ingest believes at this moment: grants in force, revoked serials, and who may renew.

Grants come from the configuration (taken up again by SIGHUP) and from enrolled agents. When they
change, the log is told first, by a `settings` frame, and only then an agent is let in under them:
what decides a result is itself in the log. Files are looked at every second and at each hello.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail.logs import ids
from opentrail.v1 import ingest_pb2_grpc
from opentrail.v1.ingest_pb2 import RenewRequest, RenewResponse
from opentrail_aggregator.home import Home
from opentrail_aggregator.identity.register import Register
from opentrail_aggregator.ingest.peer import Peer, peer_of
from opentrail_aggregator.ingest.settings import Grant
from opentrail_aggregator.ingest.tls import AGENT_URI
from opentrail_aggregator.metrics import Metrics

if TYPE_CHECKING:
    from opentrail_aggregator.identity.settings import IdentitySettings

_log = logging.getLogger(__name__)
Context = Any


class HasGrants(Protocol):
    """Settings that hold grants in either place."""

    @property
    def identity(self) -> "IdentitySettings": ...

    @property
    def ingest(self) -> Any: ...


def configured_grants(settings: HasGrants) -> tuple[Grant, ...]:
    """The grants of a configuration, patterns of whole SANs made patterns of names."""
    identity = settings.identity
    prefixes = (AGENT_URI, *identity.uri_prefixes)
    return tuple(
        Grant(agent=_name_in(each.agent, prefixes), accounts=each.accounts, regions=each.regions)
        for each in identity.grants or settings.ingest.grants
    )


def _name_in(pattern: str, prefixes: Iterable[str]) -> str:
    for prefix in prefixes:
        if pattern.startswith(prefix):
            return pattern.removeprefix(prefix).replace("/", ".")
    return pattern


class Identities(ingest_pb2_grpc.IdentityServicer):
    """The service Identity, and the answers that streams need."""

    def __init__(
        self,
        home: Home,
        settings: HasGrants,
        clock: Clock,
        metrics: Metrics,
        publish: Callable[[tuple[Grant, ...]], Awaitable[None]],
    ) -> None:
        self._home = home
        self._settings = settings.identity
        self._configured = configured_grants(settings)
        self._register = Register(home.identity, clock)
        self._clock = clock
        self._metrics = metrics
        self._publish = publish
        self._changing = asyncio.Lock()
        self.grants: tuple[Grant, ...] = self._configured
        """In force: the log says so."""
        self.look()
        self.grants = self._wanted()

    def look(self) -> None:
        """Read the files if they changed; what was read before holds while they cannot be."""
        try:
            self._register.refresh()
            self._metrics.healed("ingest.identity")
        except (OSError, OpenTrailError) as error:
            self._metrics.problem("ingest.identity", f"{error}; what was read before holds")

    def _wanted(self) -> tuple[Grant, ...]:
        return (*self._register.grants(), *self._configured)

    async def keep_up(self) -> None:
        """Put grants that changed into the log, and only then into force. Raises LogError."""
        self.look()
        if self._wanted() == self.grants:
            return
        async with self._changing:
            wanted = self._wanted()
            if wanted != self.grants:
                await self._publish(wanted)
                self.grants = wanted

    async def configure(self, settings: HasGrants) -> None:
        """Other grants from the configuration, from now on."""
        self._settings = settings.identity
        self._configured = configured_grants(settings)
        await self.keep_up()

    def peer(self, context: Context) -> Peer:
        return peer_of(context, self._settings.uri_prefixes)

    def is_revoked(self, peer: Peer) -> bool:
        return self._register.is_revoked(peer.serial)

    def objection(self, peer: Peer) -> str:
        """Why this certificate is believed no more; empty if it is."""
        if self.is_revoked(peer):
            return f"certificate {peer.serial} is revoked: enrol again with a new join token"
        if peer.is_over(self._clock.now_ns()):
            return f"certificate {peer.serial} has run out; connect with its successor"
        return ""

    def is_shared(self, name: str) -> bool:
        """Whether several machines bear this name on purpose."""
        return any(fnmatchcase(name, pattern) for pattern in self._settings.shared)

    async def Renew(self, request: RenewRequest, context: Context) -> RenewResponse:
        """The next certificate for who has one that is good."""
        self.look()
        peer = self.peer(context)
        problem = self.objection(peer)
        if problem or len(peer.names) != 1:
            self._counted("refused")
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED, problem or "the certificate names no agent"
            )
        try:
            issued = await asyncio.to_thread(self._renewed, peer, request.certificate_request)
        except (OpenTrailError, OSError) as error:
            self._counted("refused")
            about = ids(agent=peer.names[0])
            _log.warning("agent %s gets no new certificate: %s", peer.names[0], error, extra=about)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        self._counted("renewed")
        return issued

    def _renewed(self, peer: Peer, request: str) -> RenewResponse:
        # Loads a large library, once somebody asks.
        from opentrail_aggregator.identity.enrolling import Enrolling

        enrolling = Enrolling(
            self._home.pki, self._home.identity, self._settings.certificate_life, self._clock
        )
        issued = enrolling.renew(peer.names[0], peer.pem, request)
        return RenewResponse(certificate=issued.certificate, authority=issued.authority)

    def _counted(self, outcome: str) -> None:
        self._metrics.increment("opentrail_ingest_renewals_total", outcome=outcome)
