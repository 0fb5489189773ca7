"""From one item of PutAuditEvents to a CloudTrail record, or the exact reason why not.

`eventData` is a JSON text of its own: `version`, `userIdentity`, `eventSource`, `eventName`,
`eventTime`, `UID`, `recipientAccountId` and optional members. Its free-form members keep their
bytes. Nothing of the record depends on when it was sent, so a repeat is a copy of the same event.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from opentrail.identity import natural_event_id
from opentrail.limits import FUTURE_MAX_SECONDS
from opentrail.record import Refused, admit, parse_time
from opentrail_aggregator.cloudtrail.channels import Channel

KIB = 1024
TEXT_MAX = 256
LARGE_MAX_BYTES = 100 * KIB
ADDITIONAL_MAX_BYTES = 28 * KIB
REQUIRED = ("version", "userIdentity", "eventSource", "eventName", "eventTime", "UID",
            "recipientAccountId")  # fmt: skip
_TEXTS = {
    "version": TEXT_MAX, "eventSource": TEXT_MAX, "eventName": TEXT_MAX, "eventTime": TEXT_MAX,
    "UID": TEXT_MAX, "recipientAccountId": TEXT_MAX, "errorCode": TEXT_MAX,
    "errorMessage": TEXT_MAX, "sourceIPAddress": TEXT_MAX, "userAgent": 1024,
}  # fmt: skip
_OBJECTS = {
    "requestParameters": LARGE_MAX_BYTES,
    "responseElements": LARGE_MAX_BYTES,
    "additionalEventData": ADDITIONAL_MAX_BYTES,
}
_IDENTITY = {"type": 128, "principalId": 1024}
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ItemError(Exception):
    """Why one item cannot be an event; `code` as AWS names it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def audit_record(
    channel: Channel, item: dict[str, Any], now_s: int, covers_account: Callable[[str], bool]
) -> tuple[str, bytes]:
    """The eventID and the record of an item; raises ItemError."""
    data = item["eventData"].encode("utf-8", "surrogatepass")
    _check_sum(data, item.get("eventDataChecksum"))
    try:
        members = _RAW.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ItemError("InvalidData", f"eventData is not a JSON object: {error}") from error
    members = {name: value for name, value in members.items() if bytes(value) != b"null"}
    for name in REQUIRED:
        if name not in members:
            raise ItemError("FieldNotFound", f"{name} is missing.")
    texts = {
        name: _text(members[name], name, most) for name, most in _TEXTS.items() if name in members
    }
    objects = {
        name: _object(members[name], name, most)
        for name, most in _OBJECTS.items()
        if name in members
    }
    identity = _identity_of(members["userIdentity"])
    _check_time(texts["eventTime"], now_s)
    _check_source(texts["eventSource"])
    _check_recipient(texts["recipientAccountId"], covers_account)
    event_id = natural_event_id(channel.arn, item["id"])
    record: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": texts["eventTime"],
        "eventSource": texts["eventSource"],
        "eventName": texts["eventName"],
        "awsRegion": channel.region,
        **{
            name: texts[name]
            for name in ("sourceIPAddress", "userAgent", "errorCode", "errorMessage")
            if name in texts
        },
        **objects,
        "eventID": event_id,
        "eventType": "ActivityLog",
        "managementEvent": False,
        "recipientAccountId": texts["recipientAccountId"],
        "eventCategory": "ActivityAuditLog",
        "metadata": {
            "channelARN": channel.arn,
            "UID": texts["UID"],
            "version": texts["version"],
        },
    }
    line = msgspec.json.encode(record)
    what = admit(line)
    if isinstance(what, Refused):
        raise ItemError("InvalidData", f"it cannot be an event: {what.reason} {what.detail}")
    return event_id, line


def _check_sum(data: bytes, given: str | None) -> None:
    if given is None:
        return
    actual = base64.b64encode(hashlib.sha256(data).digest()).decode()
    if given != actual:
        raise ItemError("InvalidChecksum", f"eventDataChecksum is not the base64 SHA-256 {actual}.")


def _text(raw: msgspec.Raw, name: str, most: int) -> str:
    try:
        value: str = msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ItemError("InvalidData", f"{name} is not a text.") from error
    if not value:
        raise ItemError("InvalidData", f"{name} is empty.")
    if len(value) > most:
        raise ItemError("FieldTooLong", f"{name} has {len(value)} characters, at most {most}.")
    return value


def _object(raw: msgspec.Raw, name: str, most: int) -> msgspec.Raw:
    data = bytes(raw)
    if len(data) > most:
        raise ItemError("FieldTooLong", f"{name} has {len(data)} bytes, at most {most}.")
    try:
        # Decoded in full: a Raw is skipped over, and would be refused only much later.
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ItemError("InvalidData", f"{name} cannot be read: {error}") from error
    if type(value) is not dict:
        raise ItemError("InvalidData", f"{name} is not a JSON object.")
    # Line breaks can only stand between tokens here; a record is one line.
    return msgspec.Raw(data.replace(b"\r", b" ").replace(b"\n", b" "))


def _identity_of(raw: msgspec.Raw) -> dict[str, Any]:
    _object(raw, "userIdentity", LARGE_MAX_BYTES)
    members = _RAW.decode(raw)
    identity: dict[str, Any] = {}
    for name, most in _IDENTITY.items():
        if name not in members:
            raise ItemError("FieldNotFound", f"userIdentity.{name} is missing.")
        identity[name] = _text(members[name], f"userIdentity.{name}", most)
    if "details" in members and bytes(members["details"]) != b"null":
        identity["details"] = _object(members["details"], "userIdentity.details", LARGE_MAX_BYTES)
    return identity


def _check_time(text: str, now_s: int) -> None:
    seconds = parse_time(text)
    if seconds is None:
        raise ItemError("InvalidData", "eventTime is no time; write it as 2026-11-24T10:05:07Z.")
    if seconds > now_s + FUTURE_MAX_SECONDS:
        raise ItemError("InvalidData", "eventTime is more than a day ahead.")


def _check_source(source: str) -> None:
    if source.lower().rstrip(".").endswith(".amazonaws.com"):
        raise ItemError(
            "InvalidEventSource",
            "eventSource names a service of AWS; use a name of your own, as billing.example.com.",
        )


def _check_recipient(account: str, covers_account: Callable[[str], bool]) -> None:
    is_account = len(account) == 12 and account.isascii() and account.isdigit()
    if not is_account or not covers_account(account):
        raise ItemError(
            "InvalidRecipient", "recipientAccountId is not an account that this key writes for."
        )
