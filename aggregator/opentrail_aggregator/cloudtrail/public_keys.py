"""ListPublicKeys: what the digests of a region are verified with."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.errors import ApiError


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


class PublicKeyCalls:
    """One operation."""

    def __init__(self, public_keys: PublicKeys, now_s: Callable[[], int]) -> None:
        self._public_keys = public_keys
        self._now_s = now_s

    async def list(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
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
