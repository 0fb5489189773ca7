"""Trails, as they are read: the install's trail `default`, and what its archive delivered last."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from opentrail_aggregator.api.times import iso_time
from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.channel_calls import ARN as CHANNEL_ARN
from opentrail_aggregator.cloudtrail.channels import ChannelStore
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.owner import acting_account, arn_of

NAME = "default"
RESOURCES_MAX = 20
ARN = re.compile(
    r"arn:aws[a-z-]*:cloudtrail:[a-z0-9-]{1,40}:[0-9]{12}:trail/[A-Za-z0-9._-]{1,128}", re.ASCII
)
_LETTERS = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)
EVERYTHING = [
    {
        "Name": f"every {category} event",
        "FieldSelectors": [{"Field": "eventCategory", "Equals": [category]}],
    }
    for category in ("Management", "Data", "NetworkActivity")
]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What is known of a trail's deliveries; times are seconds since 1970, 0 for never."""

    started_s: float = 0
    delivered_s: float = 0
    delivery_error: str = ""
    digest_s: float = 0
    digest_error: str = ""


class PublicKey(Protocol):
    """A key that digests are verified with."""

    @property
    def value(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def valid_from(self) -> int: ...
    @property
    def valid_until(self) -> int: ...


PublicKeys = Callable[[str, int, int], "list[Any]"]
"""Region, first and last second -> its PublicKeys that were valid then."""


class TrailCalls:
    """Every trail that there is: one."""

    def __init__(
        self,
        account: str,
        home_region: str,
        bucket: str,
        prefix: str,
        delivered: Callable[[], Delivered],
        public_keys: PublicKeys,
        channels: ChannelStore,
        now_s: Callable[[], int],
    ) -> None:
        self._account = account
        self._home_region = home_region
        self._bucket = bucket
        self._prefix = prefix
        self._delivered = delivered
        self._public_keys = public_keys
        self._channels = channels
        self._now_s = now_s
        self.arn = arn_of(home_region, account, f"trail/{NAME}")

    async def describe(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        names = given.get("trailNameList") or []
        for name in names:
            check_name(name)
        shadows = given.get("includeShadowTrails") is not False
        visible = self._is_owner(call) and (shadows or call.region == self._home_region)
        # A name means a trail of this region, of which a shadow is one; an ARN any.
        wanted = not names or NAME in names or self.arn in names
        if self._is_owner(call) and self.arn in names:
            visible = True
        return {"trailList": [self._described()] if visible and wanted else []}

    async def get(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self._check(call, given["Name"])
        return {"Trail": self._described()}

    async def list(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("NextToken"):
            raise ApiError("ValidationException", "The NextToken is not one of ours.")
        if not self._is_owner(call):
            return {"Trails": []}
        return {"Trails": [{"TrailARN": self.arn, "Name": NAME, "HomeRegion": self._home_region}]}

    async def status(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self._check(call, given["Name"])
        known = await asyncio.to_thread(self._delivered)
        times = {
            "LatestDeliveryTime": known.delivered_s,
            "StartLoggingTime": known.started_s,
            "LatestDigestDeliveryTime": known.digest_s,
        }
        texts = {
            "LatestDeliveryError": known.delivery_error,
            "LatestDigestDeliveryError": known.digest_error,
        }
        return {
            "IsLogging": True,
            **{name: value for name, value in times.items() if value},
            **{name: value for name, value in texts.items() if value},
            "LatestDeliveryAttemptTime": _iso(known.delivered_s),
            "LatestDeliveryAttemptSucceeded": "" if known.delivery_error else _iso(
                known.delivered_s
            ),
            "LatestNotificationAttemptTime": "",
            "LatestNotificationAttemptSucceeded": "",
            "TimeLoggingStarted": _iso(known.started_s),
            "TimeLoggingStopped": "",
        }  # fmt: skip

    async def event_selectors(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self._check(call, given["TrailName"])
        return {"TrailARN": self.arn, "AdvancedEventSelectors": EVERYTHING}

    async def insight_selectors(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("TrailName")
        if given.get("EventDataStore") is not None:
            raise ApiError(
                "UnsupportedOperationException", "There are no event data stores; name a trail."
            )
        if name is None:
            raise ApiError("InvalidParameterException", "Name a trail: TrailName.")
        self._check(call, name)
        raise ApiError(
            "InsightNotEnabledException",
            f"Trail {name} does not have Insights enabled. Edit the trail settings to enable "
            "Insights, and then try the operation again.",
        )

    async def tags(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("NextToken"):
            raise ApiError("InvalidTokenException", "The NextToken is not one of ours.")
        ids = given["ResourceIdList"]
        if len(ids) > RESOURCES_MAX:
            raise ApiError("ValidationException", f"{len(ids)} resources, at most {RESOURCES_MAX}.")
        return {"ResourceTagList": [await self._tags_of(call, each) for each in ids]}

    async def keys(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("NextToken"):
            raise ApiError("InvalidTokenException", "The NextToken is not one of ours.")
        end = given.get("EndTime")
        start = given.get("StartTime")
        last = int(end) if end is not None else self._now_s()
        first = int(start) if start is not None else last
        if first > last:
            raise ApiError(
                "InvalidTimeRangeException", "The start time must be before the end time."
            )
        found = await asyncio.to_thread(self._public_keys, call.region, first, last)
        return {
            "PublicKeyList": [
                {
                    "Value": key.value,
                    "ValidityStartTime": key.valid_from,
                    "ValidityEndTime": key.valid_until,
                    "Fingerprint": key.fingerprint,
                }
                for key in found
            ]
        }

    async def _tags_of(self, call: Call, resource: str) -> dict[str, Any]:
        if not resource.startswith("arn:") or ":cloudtrail:" not in resource:
            raise ApiError("CloudTrailARNInvalidException", f"{resource[:300]} is no ARN.")
        kind = resource.split(":", 5)[-1].partition("/")[0]
        if kind == "trail" and self._is_owner(call) and resource == self.arn:
            return {"ResourceId": resource, "TagsList": []}
        if kind == "channel" and CHANNEL_ARN.fullmatch(resource):
            channel = await asyncio.to_thread(self._channels.get, resource)
            if channel is not None and channel.account == acting_account(call.scope, self._account):
                return {"ResourceId": resource, "TagsList": channel.tags}
        if kind not in ("trail", "channel"):
            raise ApiError(
                "ResourceTypeNotSupportedException", "Trails and channels have tags here."
            )
        raise ApiError("ResourceNotFoundException", f"There is no {resource[:300]}.")

    def _is_owner(self, call: Call) -> bool:
        return acting_account(call.scope, self._account) == self._account

    def _check(self, call: Call, name: str) -> None:
        """Raise unless it names the trail: by name, or by ARN."""
        check_name(name)
        if not self._is_owner(call) or name not in (NAME, self.arn):
            account = acting_account(call.scope, self._account)
            raise ApiError(
                "TrailNotFoundException", f"Unknown trail: {name[:300]} for the user: {account}"
            )

    def _described(self) -> dict[str, Any]:
        return {
            "Name": NAME,
            "S3BucketName": self._bucket,
            **({"S3KeyPrefix": self._prefix} if self._prefix else {}),
            "IncludeGlobalServiceEvents": True,
            "IsMultiRegionTrail": True,
            "HomeRegion": self._home_region,
            "TrailARN": self.arn,
            "LogFileValidationEnabled": True,
            "HasCustomEventSelectors": True,
            "HasInsightSelectors": False,
            "IsOrganizationTrail": False,
        }


def check_name(name: str) -> None:
    """Raise unless `name` could name a trail, in AWS's words."""
    if name.startswith("arn:"):
        if ARN.fullmatch(name) is None:
            raise ApiError("CloudTrailARNInvalidException", f"{name[:300]} is no ARN of a trail.")
        return
    problem = ""
    if len(name) < 3:
        problem = (
            "Trail name too short. Minimum allowed length: 3 characters. "
            f"Specified name length: {len(name)} characters."
        )
    elif len(name) > 128:
        problem = (
            "Trail name too long. Maximum allowed length: 128 characters. "
            f"Specified name length: {len(name)} characters."
        )
    elif _LETTERS.fullmatch(name) is None:
        problem = (
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, "
            "periods (.), hyphens (-), and underscores (_)."
        )
    elif not name[0].isalnum():
        problem = "Trail name must starts with a letter or number."
    elif not name[-1].isalnum():
        problem = "Trail name must ends with a letter or number."
    elif re.search(r"[._-]{2}", name) or _IPV4.fullmatch(name):
        problem = "Trail name is not like my-trail: no two of . _ - together, no IP address."
    if problem:
        raise ApiError("InvalidTrailNameException", problem)


def _iso(seconds: float) -> str:
    return iso_time(int(seconds)) if seconds else ""
