"""From a kept event to the document that the index engine takes, as JSON text.

    t  time, seconds        p  position in the log     l  place of the record's bytes
    h  first 8 bytes of the eventID as a number        o  its next 8 bytes
    k  leaves: path, NUL, value                        w  words: the strings of the record
    a  source address       d  session created         n0 n1 n2  numbers that can be compared

`h` and `o` order events of one second by eventID without reading their records.
"""

import ipaddress
import math
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from opentrail.record import RecordView, event_id_of, parse_time
from opentrail_aggregator.index.shape import NumberText, Shape, raw_shape, shape_of
from opentrail_aggregator.search.fields import (
    ACCOUNT,
    CREATION_DATE,
    NUMBERS,
    REGION,
    RESOURCE_NAME,
    RESOURCE_TYPE,
    SHAPE,
    TREES,
    USERNAME,
)
from opentrail_aggregator.search.lookup import resources, username

HAS = "_has"
"""Leaves under this path name the objects that have something in them."""
_TREES = frozenset(TREES)
_NUMBERS = tuple(tuple(name.split(".")) for name in NUMBERS)
_CREATION_DATE = tuple(CREATION_DATE.split("."))
_IDS = msgspec.json.Decoder(RecordView)


class Event:
    """A kept event on its way into the index."""

    __slots__ = ("account", "derived_id", "position", "record", "region", "time_s")

    def __init__(
        self, record: bytes, derived_id: str, time_s: int, account: str, region: str, position: int
    ) -> None:
        self.record = record
        self.derived_id = derived_id
        """Empty when the record has an eventID of its own."""
        self.time_s = time_s
        self.account = account
        self.region = region
        self.position = position


def id_numbers(event_id: str) -> tuple[int, int]:
    """Two numbers that order as the first 16 bytes of the eventID do."""
    head = event_id.encode("utf-8", "replace")[:16].ljust(16, b"\0")
    return int.from_bytes(head[:8], "big"), int.from_bytes(head[8:], "big")


def event_id_in(record: bytes) -> str:
    """The eventID that a record names, empty if none."""
    try:
        return event_id_of(_IDS.decode(record))
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return ""


def _other_id(event: Event) -> str:
    return event.derived_id or event_id_in(event.record)


def document_of(event: Event, location: int) -> tuple[str, set[str]]:
    """The document of an event, and the marks of its shape."""
    shape = shape_of(event.record)
    return _written(event, location, shape), shape.marks


def fallback_of(event: Event, location: int) -> str:
    """The document of an event that the engine refused: found by its own fields and its text."""
    return _written(event, location, raw_shape(event.record))


def _written(event: Event, location: int, shape: Shape) -> str:
    record, leaves = shape.record, shape.leaves
    own_id = record.get("eventID")
    event_id = own_id if type(own_id) is str and own_id else _other_id(event)
    if own_id != event_id:
        leaves.append(f"eventID\0{event_id}")
    leaves.append(f"{ACCOUNT}\0{event.account}")
    leaves.append(f"{REGION}\0{event.region}")
    if shape.marks:
        leaves.extend(f"{SHAPE}\0{mark}" for mark in sorted(shape.marks))
    if name := username(record):
        leaves.append(f"{USERNAME}\0{_clean(name)}")
    for kind, name in resources(record):
        leaves.append(f"{RESOURCE_NAME}\0{_clean(name)}")
        if kind:
            leaves.append(f"{RESOURCE_TYPE}\0{_clean(kind)}")
    for root in record:
        if root in _TREES and record[root]:
            leaves.append(f"{HAS}\0{root}")
    high, low = id_numbers(event_id)
    document: dict[str, Any] = {
        "t": event.time_s,
        "p": event.position,
        "l": location,
        "h": high,
        "o": low,
        "k": leaves,
        "w": shape.text,
    }
    address = record.get("sourceIPAddress")
    if type(address) is str and (written := address_of(address)):
        document["a"] = written
    created = _at(record, _CREATION_DATE)
    if type(created) is str and (seconds := _seconds(created)) is not None:
        document["d"] = seconds
    if "additionalEventData" in record or "requestParameters" in record:
        for index, path in enumerate(_NUMBERS):
            value = _at(record, path)
            if value is not None and (number := number_of(value)) is not None:
                document[f"n{index}"] = number
    return orjson.dumps(document).decode()


def _at(record: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = record
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


@lru_cache(maxsize=8192)
def address_of(text: str) -> str:
    """The address that `text` is, as the engine writes it; empty if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return "" if "%" in text else str(address)


@lru_cache(maxsize=8192)
def _seconds(text: str) -> int | None:
    return parse_time(text)


def number_of(value: Any) -> float | None:
    """The number that a value is or is written as, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not isinstance(value, NumberText) and len(value) > 40:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
