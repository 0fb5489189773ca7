"""Requests of AWS's own clients: told apart by the service they are signed for, before any path.

One port serves them all, as AWS_ENDPOINT_URL wants it: the credential scope of a signature names
cloudtrail, s3, sts, … and so decides who answers; `GET /health/live` signed for s3 is an object
named `live` in a bucket named `health`. What is signed for `opentrail`, or not signed, goes by its
path (`routes.py`).

Each service is one `AwsService`: it is called with a key that was proved, knows its own errors
(`aws_errors.py`), asks `key.may(ACTION)` and `key.scope` itself, and writes its own events where
AWS would (`OwnEvents.record`).
"""

import logging
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from opentrail.errors import OpenTrailError
from opentrail_aggregator.access.keys import AccessKey
from opentrail_aggregator.access.sigv4 import (
    Credential,
    SignatureError,
    claimed_credential,
    is_signed,
)
from opentrail_aggregator.api.access import SERVICE, KeyAccess, request_of
from opentrail_aggregator.api.answers import CLIENT_GONE
from opentrail_aggregator.api.aws_errors import aws_error
from opentrail_aggregator.api.own_events import OwnEvents
from opentrail_aggregator.metrics import Metrics

_log = logging.getLogger(__name__)


class AwsService(Protocol):
    """Answers everything that is signed for one service."""

    async def __call__(
        self, request: web.Request, key: AccessKey, credential: Credential
    ) -> web.StreamResponse: ...


def claimed_service(request: web.Request) -> str:
    """The service a request is signed for, empty if it is not signed or not readable."""
    signed = request_of(request, b"")
    if not is_signed(signed):
        return ""
    try:
        return claimed_credential(signed).service
    except SignatureError:
        return ""


def by_service(
    services: Mapping[str, AwsService], access: KeyAccess, own: OwnEvents, metrics: Metrics
) -> Middleware:
    """What sends each request to the service it is signed for."""

    @web.middleware
    async def route(request: web.Request, handler: Handler) -> web.StreamResponse:
        service = claimed_service(request)
        if service in ("", SERVICE):
            return await handler(request)
        status = CLIENT_GONE
        try:
            response = await _answered(request, service, services, access, own)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            # Labels are names we know: a caller must not be able to make new ones.
            path = f"aws:{service}" if service in services else "aws:other"
            metrics.increment("opentrail_api_requests_total", path=path, status=str(status))

    return route


async def _answered(
    request: web.Request,
    service: str,
    services: Mapping[str, AwsService],
    access: KeyAccess,
    own: OwnEvents,
) -> web.StreamResponse:
    try:
        try:
            key, credential = await access.authenticate(request)
        except SignatureError as error:
            await own.refused(request, error.code, error.message)
            return aws_error(service, error.code, error.message)
        answer = services.get(service)
        if answer is None:
            known = ", ".join(sorted((*services, SERVICE)))
            return aws_error(
                service,
                "UnsupportedOperationException",
                f"There is no service '{service[:40]}' here; there are: {known}.",
                400,
            )
        return await answer(request, key, credential)
    except OpenTrailError as error:
        return aws_error(service, "ServiceUnavailable", str(error), 503)
    except (web.HTTPException, ConnectionResetError):
        raise
    except Exception:
        _log.exception("%s, signed for %s", request.method, service)
        return aws_error(
            service, "InternalFailure", "This is a fault of the aggregator; its log says more.", 500
        )
