"""Enrolment over HTTP: a join token and a certificate request in, a certificate out.

    GET  /enrol/authority/TOKEN_ID    the authority's certificates; the agent checks them against
                                      the fingerprint in its token before it sends the token
    POST /enrol                       {"token", "name", "request"}: the certificate, the authority

These paths need no access key: the token is what lets in. Each use and each refusal is an event in
the trail before its answer leaves, without token and request in it.
"""

import asyncio
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aiohttp import web

from opentrail.clock import Clock
from opentrail.errors import UsageError
from opentrail_aggregator.api.access import CALLER, Caller, Denied, is_from_here, is_over_tls
from opentrail_aggregator.api.answers import json_answer, json_body
from opentrail_aggregator.api.own_events import OwnEvents
from opentrail_aggregator.api.settings import parse_address
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.identity.tokens import TokenRefusedError
from opentrail_aggregator.metrics import Metrics

if TYPE_CHECKING:
    from opentrail_aggregator.identity.enrolling import Enrolling

AGENT_NAMES_SHOWN = 128


class EnrolmentHandlers:
    """Answers new agents."""

    def __init__(
        self, settings: AggregatorSettings, own: OwnEvents, clock: Clock, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._own = own
        self._clock = clock
        self._metrics = metrics

    async def authority(self, request: web.Request) -> web.StreamResponse:
        """`GET /enrol/authority/TOKEN_ID`."""
        enrolling = self._enrolling()
        try:
            bundle = await asyncio.to_thread(enrolling.authority, request.match_info["id"][:64])
        except TokenRefusedError as error:
            raise await self._refused(request, str(error)) from None
        return json_answer({"authority": bundle})

    async def enrol(self, request: web.Request) -> web.StreamResponse:
        """`POST /enrol`."""
        if not (
            is_over_tls(request) or is_from_here(request) or self._settings.http.allow_plaintext
        ):
            raise await self._refused(request, "a join token is taken over TLS only")
        body = await json_body(request)
        token, name, signing = (body.get(each, "") for each in ("token", "name", "request"))
        if not (isinstance(token, str) and isinstance(name, str) and isinstance(signing, str)):
            raise UsageError("token, name and request have to be texts")
        try:
            used, issued = await asyncio.to_thread(self._enrolling().enrol, token, name, signing)
        except TokenRefusedError as error:
            raise await self._refused(request, str(error)) from None
        said = {
            "agent": name,
            "token": used.id,
            "accounts": list(used.scope.accounts),
            "regions": list(used.scope.regions),
            "serial": issued.facts.serial,
        }
        caller = request.get(CALLER, Caller("anybody"))
        await self._own.called(
            request, Caller(f"token {used.id}", key_id=caller.key_id), "EnrolAgent", said,
            read_only=False,
        )  # fmt: skip
        self._metrics.increment("opentrail_enrolments_total", outcome="enrolled")
        return json_answer(
            {
                "name": name,
                "certificate": issued.certificate,
                "authority": issued.authority,
                "not_after": issued.facts.not_after,
                "addresses": list(self._settings.identity.addresses),
                "port": parse_address(self._settings.grpc.listen, "grpc.listen")[1],
                "granted": self._is_granted(name) or not used.scope.is_everything,
            }
        )

    def _is_granted(self, name: str) -> bool:
        """Whether the configuration lets an agent of this name in."""
        grants = self._settings.identity.grants or self._settings.ingest.grants
        return any(fnmatchcase(name, each.agent) for each in grants)

    async def _refused(self, request: web.Request, text: str) -> Denied:
        """Note a refusal; the error to raise."""
        self._metrics.increment("opentrail_enrolments_total", outcome="refused")
        await self._own.refused(request, "InvalidJoinToken", text)
        return Denied(text, "InvalidJoinToken")

    def _enrolling(self) -> "Enrolling":
        from opentrail_aggregator.identity.enrolling import Enrolling

        home, identity = self._settings.place, self._settings.identity
        return Enrolling(home.pki, home.identity, identity.certificate_life, self._clock)
