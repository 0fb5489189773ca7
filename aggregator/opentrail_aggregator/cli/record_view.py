"""A CloudTrail record as people read it: who did what, where, from where, and how it ended."""

import json
from collections.abc import Mapping
from typing import Any

from opentrail_aggregator.cli.table import Column

COLUMNS = (
    Column("TIME", least=19, importance=9),
    Column("EVENT", least=14, importance=8),
    Column("SERVICE", least=6, importance=3),
    Column("WHO", least=10, importance=7),
    Column("REGION", least=9, importance=5),
    Column("ACCOUNT", least=12, importance=4),
    Column("FROM", least=9, importance=2),
    Column("RESULT", least=7, importance=6),
    Column("ID", least=8, importance=5),
)

CSV_FIELDS = (
    "eventTime", "eventID", "eventSource", "eventName", "awsRegion", "recipientAccountId",
    "userIdentity.type", "userIdentity.arn", "userIdentity.userName", "sourceIPAddress",
    "userAgent", "errorCode", "errorMessage", "readOnly", "eventCategory", "requestID",
)  # fmt: skip

ID_SHOWN = 8
_SERVICE_SUFFIX = ".amazonaws.com"


def row_of(event: Mapping[str, Any]) -> list[str]:
    """One line of `COLUMNS` for an event as the server describes it."""
    record = _mapping(event.get("record"))
    source = str(record.get("eventSource") or "")
    return [
        str(event.get("time") or record.get("eventTime") or "").replace("T", " ").removesuffix("Z"),
        str(record.get("eventName") or record.get("eventType") or "?"),
        source.removesuffix(_SERVICE_SUFFIX),
        who(record),
        str(event.get("region") or record.get("awsRegion") or ""),
        str(event.get("account") or record.get("recipientAccountId") or ""),
        str(record.get("sourceIPAddress") or ""),
        result(record),
        str(event.get("event_id") or record.get("eventID") or "")[:ID_SHOWN],
    ]


def who(record: Mapping[str, Any]) -> str:
    """The shortest name that tells who acted."""
    identity = _mapping(record.get("userIdentity"))
    kind = identity.get("type")
    if kind == "Root":
        return "root"
    if identity.get("userName"):
        return str(identity["userName"])
    issuer = _mapping(_mapping(identity.get("sessionContext")).get("sessionIssuer"))
    if issuer.get("userName"):
        session = str(identity.get("arn") or "").rpartition("/")[2]
        return f"{issuer['userName']}/{session}" if session else str(issuer["userName"])
    for name in ("invokedBy", "arn", "principalId", "accountId"):
        if identity.get(name):
            return str(identity[name])
    return str(kind or "")


def result(record: Mapping[str, Any]) -> str:
    """`ok`, or the error."""
    if record.get("errorCode"):
        return str(record["errorCode"])
    login = _mapping(record.get("responseElements")).get("ConsoleLogin")
    if record.get("errorMessage") or login == "Failure":
        return str(record.get("errorMessage") or "Failure")
    return "ok"


def csv_row(record: Mapping[str, Any]) -> list[str]:
    """One line of `CSV_FIELDS`; what is not text is JSON."""
    return [_text(_at(record, path)) for path in CSV_FIELDS]


def _at(record: Mapping[str, Any], path: str) -> object:
    value: object = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
