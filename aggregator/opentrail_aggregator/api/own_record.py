"""The CloudTrail record of one use of this port.

Texts come from strangers: they are cut, and made valid UTF-8, before they enter a record. Values
that would be signatures are left out; a secret is in none of them.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opentrail.clock import Clock

AGENT = "opentrail/api"
"""In whose name they are in the log."""
SOURCE = "cloudtrail.amazonaws.com"
TEXT_MAX_CHARACTERS = 2048
PARAMETERS_MAX = 40
_LIST_MAX = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a call came, and with which key; without a name, the key was only claimed."""

    address: str
    user_agent: str
    key_id: str
    name: str


class OwnRecords:
    """Makes records of one install."""

    def __init__(self, account: str, region: str, clock: Clock) -> None:
        self.account = account
        self.region = region
        self._clock = clock

    def make(
        self,
        origin: Origin,
        name: str,
        parameters: Mapping[str, object],
        *,
        read_only: bool,
        source: str = SOURCE,
        request_id: str = "",
        error: tuple[str, str] | None = None,
        region: str = "",
    ) -> dict[str, Any]:
        """One call; `error`: code and message of why it was refused or failed."""
        record: dict[str, Any] = {
            "eventVersion": "1.11",
            "userIdentity": self._identity(origin),
            "eventTime": self._now(),
            "eventSource": source,
            "eventName": name,
            "awsRegion": region or self.region,
            "sourceIPAddress": _text(origin.address),
            "userAgent": _text(origin.user_agent, 256),
        }
        if error is not None:
            record |= {"errorCode": _text(error[0], 128), "errorMessage": _text(error[1])}
        return record | {
            "requestParameters": _plain(parameters) or None,
            "responseElements": None,
            "requestID": request_id or str(uuid.uuid4()),
            "eventID": str(uuid.uuid4()),
            "readOnly": read_only,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": self.account,
            "eventCategory": "Management",
        }

    def repeated(self, record: Mapping[str, Any], repeats: int) -> dict[str, Any]:
        """One event for all that came after `record` within its minute."""
        return {
            **record,
            "eventTime": self._now(),
            "eventID": str(uuid.uuid4()),
            "requestID": str(uuid.uuid4()),
            "additionalEventData": {"repeats": repeats, "since": record["eventTime"]},
        }

    def _identity(self, origin: Origin) -> dict[str, Any]:
        if not origin.name:
            claimed = {"accessKeyId": origin.key_id} if origin.key_id else {}
            return {"type": "Unknown", "principalId": "anonymous", **claimed}
        return {
            "type": "IAMUser",
            "principalId": origin.key_id,
            "arn": f"arn:aws:iam::{self.account}:user/{origin.key_id}",
            "accountId": self.account,
            "accessKeyId": origin.key_id,
            "userName": _text(origin.name, 128),
        }

    def _now(self) -> str:
        seconds = self._clock.now_ns() // 1_000_000_000
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(parameters: Mapping[str, object]) -> dict[str, Any]:
    return {
        _text(name, 128): _value(value)
        for name, value in list(parameters.items())[:PARAMETERS_MAX]
        if value is not None and not name.lower().startswith("x-amz-")
    }


def _value(value: object) -> Any:
    if isinstance(value, bool | int):
        return value if isinstance(value, bool) or abs(value) < 1 << 53 else str(value)
    if isinstance(value, list | tuple):
        return [_value(each) for each in value[:_LIST_MAX]]
    if isinstance(value, Mapping):
        return _plain({str(name): each for name, each in value.items()})
    return _text(str(value))


def _text(text: str, most: int = TEXT_MAX_CHARACTERS) -> str:
    return text[:most].encode("utf-8", "replace").decode()
