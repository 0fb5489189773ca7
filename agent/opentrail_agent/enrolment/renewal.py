"""Gets the next certificate before the present one runs out, and tells how long it is good.

At about half of its life (each agent at its own moment), at the latest before two thirds, it makes
a new key and asks the aggregator over a connection of its own, under the present certificate. What
came is in the files at once and counts from the next connection on. A certificate that is not from
enrolment is only watched: whoever made it renews it.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio

from opentrail.certificate import CertificateFacts, facts_of
from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail.v1 import ingest_pb2_grpc
from opentrail.v1.ingest_pb2 import RenewRequest
from opentrail_agent.enrolment.place import IdentityPlace
from opentrail_agent.enrolment.request import NewKey, make_request
from opentrail_agent.metrics import Metrics
from opentrail_agent.ship.dial import dial
from opentrail_agent.ship.settings import ShipSettings

EARLIEST, LATEST = 0.45, 0.6
"""Shares of a certificate's life between which its successor is asked for."""
LOOK_SECONDS = 60.0
CALL_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Renewal:
    """The stage `identity`."""

    name = "identity"

    def __init__(
        self,
        settings: ShipSettings,
        agent: str,
        state: Path,
        clock: Clock,
        metrics: Metrics,
        make: Callable[[str], NewKey] = make_request,
        generator: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._agent = agent
        self._place = IdentityPlace(state)
        self._clock = clock
        self._metrics = metrics
        self._make = make
        share = (generator or random.Random()).random()
        self._share = EARLIEST + (LATEST - EARLIEST) * share

    async def run(self) -> None:
        """Watch and renew for ever."""
        while True:
            await self._clock.sleep(await self.look())

    async def look(self) -> float:
        """Renew if it is time; the seconds until the next look."""
        path = self._settings.tls.certificate
        if path is None:
            return LOOK_SECONDS
        try:
            facts = facts_of(await asyncio.to_thread(path.read_text))
        except (OSError, OpenTrailError, UnicodeDecodeError) as error:
            self._metrics.problem("identity", f"{path}: {error}: agents connect by certificate")
            return LOOK_SECONDS
        self._tell(path, facts)
        if path != self._place.pair:
            return LOOK_SECONDS
        due = facts.not_before + facts.life * self._share - self._now()
        if due > 0:
            return min(due, LOOK_SECONDS)
        if await self._renew():
            return 1.0
        return min(LOOK_SECONDS, max(1.0, facts.life / 30))

    def _tell(self, path: Path, facts: CertificateFacts) -> None:
        left = facts.not_after - self._now()
        self._metrics.set("opentrail_agent_certificate_seconds", left)
        if left > 0:
            self._metrics.healed("identity")
            return
        again = (
            "enrol again with a new join token (`opentrail-agent enroll`)"
            if path == self._place.pair
            else "whoever made it has to renew it"
        )
        self._metrics.problem(
            "identity", f"{path}: ran out {-left:.0f} s ago; the spool keeps everything: {again}"
        )

    async def _renew(self) -> bool:
        problems = []
        try:
            made = await asyncio.to_thread(self._make, self._agent)
            for address in self._settings.addresses:
                try:
                    await self._ask(address, made)
                except grpc.aio.AioRpcError as error:
                    problems.append(f"{address}: {error.code().name}: {error.details()}")
                    continue
                self._metrics.increment("opentrail_agent_renewals_total", outcome="renewed")
                self._metrics.healed("identity.renewal")
                _log.info("the certificate was renewed; it counts from the next connection on")
                return True
        except (OpenTrailError, OSError) as error:
            problems.append(str(error))
        self._metrics.increment("opentrail_agent_renewals_total", outcome="failed")
        left = self._metrics.value("opentrail_agent_certificate_seconds")
        self._metrics.problem(
            "identity.renewal",
            f"no new certificate ({'; '.join(problems)}); the present one is good for {left:.0f} s",
        )
        return False

    async def _ask(self, address: str, made: NewKey) -> None:
        channel = dial(address, self._settings.tls.certificates())
        try:
            stub = ingest_pb2_grpc.IdentityStub(channel)
            answer = await stub.Renew(
                RenewRequest(certificate_request=made.request), timeout=CALL_SECONDS
            )
        finally:
            await channel.close()
        await asyncio.to_thread(self._place.keep, answer.certificate, made.key, answer.authority)

    def _now(self) -> float:
        return self._clock.now_ns() / 1e9
