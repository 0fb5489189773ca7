"""The services of this room behind the HTTP port, and how they are put together.

A call's own event is durable before its answer leaves (`OwnEvents`); where it cannot be, the answer
is ServiceUnavailable, which clients try again.
"""

import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from opentrail.clock import Clock
from opentrail.logs import ids
from opentrail_aggregator.access.keys import AccessKey
from opentrail_aggregator.access.sigv4 import Credential
from opentrail_aggregator.api.aws_errors import aws_error
from opentrail_aggregator.api.own_events import OwnEvents
from opentrail_aggregator.api.searching import Searching
from opentrail_aggregator.api.services import AwsService
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.cloudtrail.call import Call, Reply
from opentrail_aggregator.cloudtrail.channel_calls import ChannelCalls
from opentrail_aggregator.cloudtrail.channels import ChannelStore
from opentrail_aggregator.cloudtrail.delivered import Deliveries
from opentrail_aggregator.cloudtrail.lookup_events import LookupEvents
from opentrail_aggregator.cloudtrail.public_keys import PublicKeyCalls
from opentrail_aggregator.cloudtrail.put_audit_events import PutAuditEvents
from opentrail_aggregator.cloudtrail.service import SERVICES, Answerer, Service
from opentrail_aggregator.cloudtrail.tag_calls import TagCalls
from opentrail_aggregator.cloudtrail.throttle import Throttle
from opentrail_aggregator.cloudtrail.trail_changes import TrailChanges
from opentrail_aggregator.cloudtrail.trail_input import Place
from opentrail_aggregator.cloudtrail.trail_store import open_book
from opentrail_aggregator.cloudtrail.trails import TrailCalls
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.digest.keys import FileKeys
from opentrail_aggregator.ingest.control import ControlClient
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.search.engine import Engine
from opentrail_aggregator.trails.book import Append

_log = logging.getLogger(__name__)


class CloudTrailHttp:
    """One `AwsService` for all that this room answers."""

    def __init__(self, service: Service, own: OwnEvents) -> None:
        self._service = service
        self._own = own

    async def __call__(
        self, request: web.Request, key: AccessKey, credential: Credential
    ) -> web.StreamResponse:
        call = Call(
            service=credential.service,
            region=credential.region,
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            query=dict(request.query),
            body=await request.read(),
            key_id=key.id,
            role=key.role,
            scope=key.scope,
        )
        try:
            reply = await self._service.answer(call)
        except Exception:
            about = ids(request_id=call.request_id)
            _log.exception("request %s of %s", call.request_id, call.service, extra=about)
            raise
        if reply.error_code:
            _log.info(
                "request %s: %s answers %s",
                call.request_id,
                reply.operation,
                reply.error_code,
                extra=ids(request_id=call.request_id, access_key=call.key_id),
            )
        await self._record(request, key, call, reply)
        if reply.error_code:
            return aws_error(
                call.service, reply.error_code, reply.error_message, reply.status, call.request_id
            )
        return web.Response(
            body=reply.body,
            status=reply.status,
            headers={**reply.headers, "Content-Type": reply.content_type},
        )

    async def _record(self, request: web.Request, key: AccessKey, call: Call, reply: Reply) -> None:
        failure = (reply.error_code, reply.error_message) if reply.error_code else None
        if not reply.operation:
            await self._own.refused(request, reply.error_code, reply.error_message, key_id=key.id)
            return
        service = "cloudtrail" if call.service == "cloudtrail-data" else call.service
        await self._own.record(
            request,
            key,
            reply.operation,
            reply.parameters or {},
            source=f"{service}.amazonaws.com",
            read_only=reply.read_only,
            request_id=call.request_id,
            error=failure,
        )


def cloudtrail_services(
    settings: AggregatorSettings,
    clock: Clock,
    metrics: Metrics,
    engine: Engine,
    searching: Searching,
    destination: Destination,
    submit: Callable[[str, bytes], int],
    own: OwnEvents,
    append: Append | None = None,
) -> dict[str, AwsService]:
    """What answers requests signed for cloudtrail, cloudtrail-data, sts and organizations.

    `append` puts a control frame into the log; without it, through the ingest of this home.
    """
    install, limits = settings.install, settings.cloudtrail
    store = ChannelStore(settings.place.channels, clock, limits.channels_max)
    write = append or ControlClient(settings.place).append
    service = Service(
        {
            **_channel_answers(ChannelCalls(store, install.account)),
            **_trail_answers(settings, clock, destination, store, write),
            "LookupEvents": LookupEvents(engine, searching, clock),
            "PutAuditEvents": PutAuditEvents(store, submit, clock, metrics),
        },
        Throttle(limits.calls_per_second, clock),
        install.account,
        limits.organization_id,
    )
    answers = CloudTrailHttp(service, own)
    return dict.fromkeys(SERVICES, answers)


def _channel_answers(channels: ChannelCalls) -> dict[str, Answerer]:
    return {
        "CreateChannel": channels.create,
        "DeleteChannel": channels.delete,
        "GetChannel": channels.get,
        "ListChannels": channels.list,
        "UpdateChannel": channels.update,
    }


def _trail_answers(
    settings: AggregatorSettings,
    clock: Clock,
    destination: Destination,
    store: ChannelStore,
    append: Append,
) -> dict[str, Answerer]:
    home, install, limits = settings.place, settings.install, settings.cloudtrail
    book = open_book(settings, clock, append)
    place = Place(
        install.account,
        destination.bucket,
        settings.archive.destination == "s3",
        limits.organization_id,
        limits.organization_accounts,
    )
    keys = FileKeys(home.keys / "digest")
    deliveries = Deliveries(home, Catalog(destination))

    def now_s() -> int:
        return clock.now_ns() // 1_000_000_000

    trails = TrailCalls(book, install.account, destination.bucket, deliveries)
    changes = TrailChanges(book, place, limits.trails_max, now_s)
    tags = TagCalls(book, changes, store, install.account)
    public_keys = PublicKeyCalls(
        lambda region, first, last: list[Any](keys.public_keys(region, first, last)), now_s
    )
    return {
        "AddTags": tags.add,
        "CreateTrail": changes.create,
        "DeleteTrail": changes.delete,
        "DescribeTrails": trails.describe,
        "GetEventSelectors": trails.event_selectors,
        "GetInsightSelectors": trails.insight_selectors,
        "GetTrail": trails.get,
        "GetTrailStatus": trails.status,
        "ListPublicKeys": public_keys.list,
        "ListTags": tags.list,
        "ListTrails": trails.list,
        "PutEventSelectors": changes.put_event_selectors,
        "PutInsightSelectors": changes.put_insight_selectors,
        "RemoveTags": tags.remove,
        "StartLogging": changes.start,
        "StopLogging": changes.stop,
        "UpdateTrail": changes.update,
    }
