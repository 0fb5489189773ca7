"""PutAuditEvents: events of any application, durable in the log before the answer leaves.

Each item is judged by itself: what can be an event is written as one batch, the rest is answered
with its reason. eventID follows from channel and item id, so a caller who saw a timeout sends the
same again and gets the same answer; consolidation keeps one.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentrail.batch import SourceRun, seal_batch
from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.api.answers import Unavailable
from opentrail_aggregator.cloudtrail.audit_record import ItemError, audit_record
from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.channel_calls import ARN
from opentrail_aggregator.cloudtrail.channels import ChannelStore
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.metrics import Metrics

AGENT = "opentrail/put-audit-events"
BODY_MAX_BYTES = 1_048_576
THREADS = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Submit = Callable[[str, bytes], int]


class PutAuditEvents:
    """Writes through ingest."""

    def __init__(
        self, channels: ChannelStore, submit: Submit, clock: Clock, metrics: Metrics
    ) -> None:
        self._channels = channels
        self._submit = submit
        self._clock = clock
        self._metrics = metrics
        # Its own: while ingest is away, callers who wait must not hold up everything else.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="put-audit-events")

    async def __call__(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        """`given` was checked against the model."""
        if len(call.body) > BODY_MAX_BYTES:
            raise ApiError(
                "ValidationException", f"{len(call.body)} bytes, at most {BODY_MAX_BYTES}."
            )
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._put, call, given)

    def _put(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        arn = given["channelArn"]
        if ARN.fullmatch(arn) is None:
            raise ApiError("InvalidChannelARN", "channelArn is no ARN of a channel.")
        channel = self._channels.get(arn)
        if channel is None or channel.region != call.region:
            raise ApiError("ChannelNotFound", "There is no such channel in this region.")
        items = given["auditEvents"]
        ids = [item["id"] for item in items]
        if len(set(ids)) != len(ids):
            raise ApiError("DuplicatedAuditEventId", "Two events of one request have the same id.")
        now_s = self._clock.now_ns() // 1_000_000_000
        lines: list[bytes] = []
        successful: list[dict[str, str]] = []
        failed: list[dict[str, str]] = []
        for item in items:
            try:
                event_id, line = audit_record(channel, item, now_s, call.scope.covers_account)
            except ItemError as error:
                message = _CONTROL.sub(" ", error.message)[:1024]
                failed.append({"id": item["id"], "errorCode": error.code, "errorMessage": message})
                self._metrics.increment("opentrail_api_audit_refusals_total", code=error.code)
                continue
            lines.append(line)
            successful.append({"id": item["id"], "eventID": event_id})
        if lines:
            self._write(channel.arn, channel.account, channel.region, lines)
        return {"successful": successful, "failed": failed}

    def _write(self, arn: str, account: str, region: str, lines: list[bytes]) -> None:
        run = SourceRun(
            source=f"api:{arn}", account=account, region=region, events=len(lines), kind="api"
        )
        payload = seal_batch(b"".join(line + b"\n" for line in lines), len(lines), [run], [])
        try:
            self._submit(AGENT, payload)
        except OpenTrailError as error:
            raise Unavailable(str(error)) from error
        self._metrics.increment("opentrail_api_audit_events_total", len(lines))
