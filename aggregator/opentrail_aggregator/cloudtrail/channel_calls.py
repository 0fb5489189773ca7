"""The five operations on channels."""

import asyncio
import re
import uuid
from typing import Any

from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.channels import SOURCE, Channel, ChannelStore, not_found
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.owner import acting_account, arn_of
from opentrail_aggregator.cloudtrail.token import read_token, write_token

PAGE_MAX = 1000
TAGS_MAX = 50
ARN = re.compile(
    r"arn:aws[a-z-]*:cloudtrail:[a-z0-9-]{1,40}:[0-9]{12}:channel/[a-zA-Z0-9._-]{3,128}", re.ASCII
)


class ChannelCalls:
    """Channels of the account a key acts as, in the region it asks."""

    def __init__(self, store: ChannelStore, account: str) -> None:
        self._store = store
        self._account = account

    async def create(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        if given["Source"] != SOURCE:
            raise ApiError(
                "InvalidSourceException",
                f"Source is {SOURCE}: partners send their events as anybody else does.",
            )
        tags = given.get("Tags") or []
        check_tags(tags)
        account = self._acting(call)
        made = await asyncio.to_thread(
            self._store.create, call.region, account, given["Name"],
            _destinations(given["Destinations"]), tags,
        )  # fmt: skip
        return {**_described(made), **({"Tags": made.tags} if made.tags else {})}

    async def get(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        channel = await self.find(call, given["Channel"])
        return {**_described(channel), "SourceConfig": {"ApplyToAllRegions": False}}

    async def update(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        channel = await self.find(call, given["Channel"])
        destinations = given.get("Destinations")
        changed = await asyncio.to_thread(
            self._store.update, channel.arn, given.get("Name"),
            None if destinations is None else _destinations(destinations),
        )  # fmt: skip
        return _described(changed)

    async def delete(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        channel = await self.find(call, given["Channel"])
        await asyncio.to_thread(self._store.delete, channel.arn)
        return {}

    async def list(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        account = self._acting(call)
        bound = [call.region, account]
        after = ""
        if given.get("NextToken"):
            try:
                after = read_token(bound, given["NextToken"])
            except ValueError as error:
                raise ApiError(
                    "InvalidNextTokenException", f"The NextToken is not one of ours ({error})."
                ) from error
        limit = given.get("MaxResults") or PAGE_MAX
        found = await asyncio.to_thread(self._store.list, call.region, account)
        rest = [each for each in found if each.arn > after]
        answer: dict[str, Any] = {
            "Channels": [{"ChannelArn": each.arn, "Name": each.name} for each in rest[:limit]]
        }
        if len(rest) > limit:
            answer["NextToken"] = write_token(bound, rest[limit - 1].arn)
        return answer

    async def find(self, call: Call, given: str) -> Channel:
        """The channel of that ARN, or of that id or name in the call's region and account."""
        account = self._acting(call)
        if given.startswith("arn:"):
            if ARN.fullmatch(given) is None:
                raise ApiError("ChannelARNInvalidException", f"{given[:300]} is no channel ARN.")
            channel = await asyncio.to_thread(self._store.get, given)
        else:
            channel = await asyncio.to_thread(
                self._store.get, arn_of(call.region, account, f"channel/{_uuid(given)}")
            )
            if channel is None:
                listed = await asyncio.to_thread(self._store.list, call.region, account)
                channel = next((each for each in listed if each.name == given), None)
        if channel is None or channel.account != account or channel.region != call.region:
            raise not_found(given)
        return channel

    def _acting(self, call: Call) -> str:
        account = acting_account(call.scope, self._account)
        if not account:
            raise ApiError("OperationNotPermittedException", "This key stands in no account.")
        return account


def check_tags(tags: list[dict[str, str]]) -> None:
    """Raise unless they can be the tags of one resource."""
    if len(tags) > TAGS_MAX:
        raise ApiError("TagsLimitExceededException", f"{len(tags)} tags, at most {TAGS_MAX}.")
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) != len(keys):
        raise ApiError("InvalidTagParameterException", "A tag key is given twice.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise ApiError("InvalidTagParameterException", "Tag keys do not begin with aws:.")


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return "none"


def _destinations(given: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"Type": each["Type"], "Location": each["Location"]} for each in given]


def _described(channel: Channel) -> dict[str, Any]:
    return {
        "ChannelArn": channel.arn,
        "Name": channel.name,
        "Source": channel.source,
        "Destinations": channel.destinations,
    }
