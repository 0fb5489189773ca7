"""The meaning of a query, as slowly and plainly as it can be written.

Every engine is compared with this. It walks Python dicts, knows no index, and shares with the
product only the parsed tree. Where it and an engine differ, `docs/search.md` says who is right.
"""

import ipaddress
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opentrail_aggregator.search.dates import DateValue
from opentrail_aggregator.search.fields import Kind
from opentrail_aggregator.search.tree import (
    And,
    Everything,
    Exists,
    FieldPattern,
    Node,
    Not,
    Or,
    Pattern,
    Range,
    Term,
    Text,
    TextPattern,
    Wild,
)

TREES = {
    "userIdentity", "requestParameters", "responseElements", "additionalEventData",
    "serviceEventDetails", "resources", "tlsDetails", "addendum", "eventContext",
    "edgeDeviceDetails", "insightDetails", "timeWindow", "summary",
}  # fmt: skip
NOT_SEARCHED = {
    "eventID", "requestID", "sharedEventID", "eventId", "eventTime", "eventVersion",
    "eventCategory", "eventType", "recipientAccountId", "tlsDetails",
}  # fmt: skip
CUT = 6_000


@dataclass(frozen=True)
class Stored:
    """One event as it was given to the engine."""

    record: dict[str, Any]
    account: str
    region: str
    event_id: str
    time_s: int
    username: str = ""
    resources: tuple[tuple[str, str], ...] = ()

    @property
    def order(self) -> tuple[int, bytes, str]:
        return -self.time_s, self.event_id.encode(), self.account


def matches(node: Node, event: Stored, now: int) -> bool:
    match node:
        case Everything():
            return True
        case And(children=children):
            return all(matches(child, event, now) for child in children)
        case Or(children=children):
            return any(matches(child, event, now) for child in children)
        case Not(child=child):
            return not matches(child, event, now)
        case Text(text=text):
            return any(_has_phrase(each, _words(text)) for each in _strings(event))
        case TextPattern(pattern=pattern):
            shape = _regex(pattern)
            return any(shape.fullmatch(word) for each in _strings(event) for word in _words(each))
        case Exists(field=field):
            return _exists(field.stored, event)
        case Term(field=field, value=value):
            return value[:CUT] in values(field.stored, event)
        case FieldPattern(field=field, pattern=pattern):
            shape = _regex(pattern)
            return any(shape.fullmatch(each) for each in values(field.stored, event))
        case Range():
            return any(_in_range(node, each, now) for each in _ordered(node, event))
    raise AssertionError(node)


def values(path: str, event: Stored) -> list[str]:
    """Every value under `path`, as text."""
    own = {
        "opentrail.account": [event.account],
        "opentrail.region": [event.region],
        "Username": [event.username] if event.username else [],
        "ResourceName": [name for _, name in event.resources],
        "ResourceType": [kind for kind, _ in event.resources if kind],
        "eventID": [event.event_id],
    }
    if path in own:
        return own[path]
    root, _, rest = path.partition(".")
    if root not in event.record:
        return []
    found: list[tuple[str, str]] = []
    _flatten(event.record[root], root, found)
    if not rest and root not in TREES:
        member = event.record[root]
        if isinstance(member, dict | list):
            return [json.dumps(member, separators=(",", ":"), ensure_ascii=False)[:CUT]]
    return [value for at, value in found if at == path]


def _flatten(value: Any, path: str, found: list[tuple[str, str]]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(inner, f"{path}.{name}", found)
    elif isinstance(value, list):
        for inner in value:
            _flatten(inner, path, found)
    elif value is not None:
        at = f"{path}.value" if path in TREES else path
        found.append((at, json.dumps(value) if not isinstance(value, str) else value[:CUT]))


def _exists(path: str, event: Stored) -> bool:
    if path == "eventTime":
        return True
    if values(path, event):
        return True
    root = path.partition(".")[0]
    found: list[tuple[str, str]] = []
    _flatten(event.record.get(root), root, found)
    if path in TREES:
        return bool(event.record.get(path))
    return any(at == path or at.startswith(path + ".") for at, _ in found)


def _strings(event: Stored) -> list[str]:
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for name, value in event.record.items():
        if name not in NOT_SEARCHED:
            walk(value)
    return found


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[^\W_]+", text)]


def _has_phrase(text: str, wanted: list[str]) -> bool:
    words = _words(text)
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def _regex(pattern: Pattern) -> re.Pattern[str]:
    return re.compile(
        "".join(
            (".*" if part is Wild.ANY else ".") if isinstance(part, Wild) else re.escape(part)
            for part in pattern
        ),
        re.DOTALL,
    )


def _ordered(node: Range, event: Stored) -> list[Any]:
    """The values that a range compares, as what they are compared as."""
    field = node.field
    if field.stored == "eventTime":
        return [event.time_s]
    texts = values(field.stored, event)
    if field.kind is Kind.DATE:
        return [
            int(datetime.fromisoformat(each).timestamp())
            for each in texts
            if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each)
        ]
    found: list[Any] = []
    for each in texts:
        try:
            found.append(float(each) if field.kind is Kind.NUMBER else _address(each))
        except ValueError:
            continue
    return found


def _address(text: str) -> int:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return int(address) | 0xFFFF << 32
    return int(address)


def _in_range(node: Range, value: Any, now: int) -> bool:
    low: Any = node.low
    high: Any = node.high
    if isinstance(low, DateValue):
        low = low.span(now)[0 if node.include_low else 1]
    if isinstance(high, DateValue):
        high = high.span(now)[1 if node.include_high else 0]
    if node.field.kind is Kind.ADDRESS:
        low = None if low is None else _address(low)
        high = None if high is None else _address(high)
    above = low is None or value > low or (node.include_low and value == low)
    below = high is None or value < high or (node.include_high and value == high)
    return bool(above and below)
