"""Trails, as they are read: their settings, selectors, and what the archive delivered last."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentrail_aggregator.api.times import iso_time
from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.owner import acting_account
from opentrail_aggregator.cloudtrail.trail_names import (
    check_name,
    find_trail,
    is_in_region,
    is_visible,
)
from opentrail_aggregator.cloudtrail.trail_shapes import described, selectors_of
from opentrail_aggregator.trails.book import TrailBook
from opentrail_aggregator.trails.trail import TrailSpec


@dataclass(frozen=True, slots=True)
class Delivered:
    """What is known of a trail's deliveries; times are seconds since 1970, 0 for never."""

    delivered_s: float = 0
    delivery_error: str = ""
    digest_s: float = 0
    digest_error: str = ""


class TrailCalls:
    """The caller's trails: those of the account its key acts as, and of its organization."""

    def __init__(
        self, book: TrailBook, account: str, bucket: str, delivered: Callable[[str], Delivered]
    ) -> None:
        self._book = book
        self._account = account
        self._bucket = bucket
        self._delivered = delivered

    async def describe(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        names = given.get("trailNameList") or []
        for name in names:
            check_name(name)
        shadows = given.get("includeShadowTrails") is not False
        account = acting_account(call.scope, self._account)
        found = [
            each
            for each in (await self._all()).values()
            if is_visible(each, account)
            # A name means a trail of this region, of which a shadow is one; an ARN any.
            and (
                each.arn in names
                or (
                    (not names or (each.name in names and each.account == account))
                    and (is_in_region(each, call.region) if shadows else _is_home(each, call))
                )
            )
        ]
        return {"trailList": [described(each, self._bucket) for each in found]}

    async def get(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"Trail": described(await self._find(call, given["Name"]), self._bucket)}

    async def list(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("NextToken"):
            raise ApiError("ValidationException", "The NextToken is not one of ours.")
        account = acting_account(call.scope, self._account)
        return {
            "Trails": [
                {"TrailARN": each.arn, "Name": each.name, "HomeRegion": each.home_region}
                for each in (await self._all()).values()
                if is_visible(each, account)
            ]
        }

    async def status(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        trail = await self._find(call, given["Name"])
        known = await asyncio.to_thread(self._delivered, trail.arn)
        times = {
            "LatestDeliveryTime": known.delivered_s,
            "StartLoggingTime": trail.started_at,
            "StopLoggingTime": trail.stopped_at,
            "LatestDigestDeliveryTime": known.digest_s,
        }
        texts = {
            "LatestDeliveryError": known.delivery_error,
            "LatestDigestDeliveryError": known.digest_error,
        }
        return {
            "IsLogging": trail.logging,
            **{name: value for name, value in times.items() if value},
            **{name: value for name, value in texts.items() if value},
            "LatestDeliveryAttemptTime": _iso(known.delivered_s),
            "LatestDeliveryAttemptSucceeded": "" if known.delivery_error else _iso(
                known.delivered_s
            ),
            "LatestNotificationAttemptTime": "",
            "LatestNotificationAttemptSucceeded": "",
            "TimeLoggingStarted": _iso(trail.started_at),
            "TimeLoggingStopped": _iso(trail.stopped_at),
        }  # fmt: skip

    async def event_selectors(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return selectors_of(await self._find(call, given["TrailName"]))

    async def insight_selectors(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        trail = await self._find(call, named_trail(given))
        if trail.insights:
            return {"TrailARN": trail.arn, "InsightSelectors": trail.insights}
        raise ApiError(
            "InsightNotEnabledException",
            f"Trail {trail.name} does not have Insights enabled. Edit the trail settings to enable "
            "Insights, and then try the operation again.",
        )

    async def _all(self) -> dict[str, TrailSpec]:
        return await asyncio.to_thread(self._book.all)

    async def _find(self, call: Call, name: str) -> TrailSpec:
        return find_trail(await self._all(), call, self._account, name)


def named_trail(given: dict[str, Any]) -> str:
    """The trail that an operation on Insight selectors means."""
    if given.get("EventDataStore") is not None or given.get("InsightsDestination") is not None:
        raise ApiError(
            "UnsupportedOperationException", "There are no event data stores; name a trail."
        )
    if given.get("TrailName") is None:
        raise ApiError("InvalidParameterException", "Name a trail: TrailName.")
    return str(given["TrailName"])


def _is_home(trail: TrailSpec, call: Call) -> bool:
    return trail.home_region == call.region


def _iso(seconds: float) -> str:
    return iso_time(int(seconds)) if seconds else ""
