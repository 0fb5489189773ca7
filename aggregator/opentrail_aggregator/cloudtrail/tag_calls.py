"""Tags of trails and channels."""

import asyncio
from collections.abc import Callable
from typing import Any

from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.channel_calls import ARN as CHANNEL_ARN
from opentrail_aggregator.cloudtrail.channel_calls import check_tags
from opentrail_aggregator.cloudtrail.channels import ChannelStore
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.owner import acting_account
from opentrail_aggregator.cloudtrail.trail_changes import TrailChanges
from opentrail_aggregator.cloudtrail.trail_names import is_visible
from opentrail_aggregator.trails.book import TrailBook

RESOURCES_MAX = 20

Tags = list[dict[str, str]]


class TagCalls:
    """AddTags, RemoveTags, ListTags."""

    def __init__(
        self, book: TrailBook, changes: TrailChanges, channels: ChannelStore, account: str
    ) -> None:
        self._book = book
        self._changes = changes
        self._channels = channels
        self._account = account

    async def list(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("NextToken"):
            raise ApiError("InvalidTokenException", "The NextToken is not one of ours.")
        ids = given["ResourceIdList"]
        if len(ids) > RESOURCES_MAX:
            raise ApiError("ValidationException", f"{len(ids)} resources, at most {RESOURCES_MAX}.")
        return {
            "ResourceTagList": [
                {"ResourceId": each, "TagsList": await self._tags_of(call, each)} for each in ids
            ]
        }

    async def add(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        wanted = _read(given["TagsList"])

        def added(tags: Tags) -> Tags:
            found = {tag["Key"]: tag for tag in tags} | {tag["Key"]: tag for tag in wanted}
            check_tags(list(found.values()))
            return list(found.values())

        await self._change(call, given["ResourceId"], added)
        return {}

    async def remove(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        keys = {tag["Key"] for tag in _read(given["TagsList"])}
        await self._change(
            call, given["ResourceId"], lambda tags: [tag for tag in tags if tag["Key"] not in keys]
        )
        return {}

    async def _change(self, call: Call, resource: str, changed: Callable[[Tags], Tags]) -> None:
        await self._tags_of(call, resource)  # It is there, and the caller's.
        if _kind(resource) == "trail":
            await self._changes.tag(call, resource, changed)
        else:
            await asyncio.to_thread(self._channels.tag, resource, changed)

    async def _tags_of(self, call: Call, resource: str) -> Tags:
        account = acting_account(call.scope, self._account)
        kind = _kind(resource)
        if kind == "trail":
            trail = (await asyncio.to_thread(self._book.all)).get(resource)
            if trail is not None and is_visible(trail, account):
                return trail.tags
        if kind == "channel" and CHANNEL_ARN.fullmatch(resource):
            channel = await asyncio.to_thread(self._channels.get, resource)
            if channel is not None and channel.account == account:
                return channel.tags
        raise ApiError("ResourceNotFoundException", f"There is no {resource[:300]}.")


def _kind(resource: str) -> str:
    if not resource.startswith("arn:") or ":cloudtrail:" not in resource:
        raise ApiError("CloudTrailARNInvalidException", f"{resource[:300]} is no ARN.")
    kind = resource.split(":", 5)[-1].partition("/")[0]
    if kind not in ("trail", "channel"):
        raise ApiError("ResourceTypeNotSupportedException", "Trails and channels have tags here.")
    return kind


def _read(given: list[dict[str, Any]]) -> Tags:
    check_tags(given)
    return [{"Key": tag["Key"], "Value": tag.get("Value") or ""} for tag in given]
