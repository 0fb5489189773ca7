"""What may be an event: the typed partial decode of a record, and admission.

A record is its raw bytes; this module only looks at them. `RecordView` holds the few members that
decisions need, each tolerant of any JSON type (a member of an unexpected type reads as absent), so
that a strange record costs itself nothing. Admission is design rule 3: a JSON object of bounded
size with a readable eventTime, an account of 12 digits, a region of [a-z0-9-].
"""

import calendar
import functools
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from opentrail.limits import (
    EVENT_ID_MAX_BYTES,
    EVENT_MAX_BYTES,
    JSON_MAX_DEPTH,
    REGION_MAX_CHARACTERS,
)

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_REGION = re.compile(rf"[a-z0-9-]{{1,{REGION_MAX_CHARACTERS}}}", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?"
    r"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))",
    re.ASCII,
)
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[][{}]', re.DOTALL)
_OPENING, _CLOSING = (b"{", b"["), (b"}", b"]")

REASONS = {
    "not_json": "not a JSON value",
    "not_object": "JSON, but not an object",
    "bad_utf8": "not UTF-8",
    "too_large": f"larger than {EVENT_MAX_BYTES} bytes",
    "too_deep": f"nested deeper than {JSON_MAX_DEPTH}",
    "no_event_time": "no readable eventTime (YYYY-MM-DDTHH:MM:SSZ)",
    "bad_account": "no account of 12 digits: recipientAccountId, userIdentity.accountId, source",
    "bad_region": "no region [a-z0-9-]{1,40} in awsRegion or the source's settings",
    "bad_event_id": f"eventID is longer than {EVENT_ID_MAX_BYTES} bytes or has control characters",
    "no_event_id": "no eventID, and the source derived none",
    "future": "dated more than a day after it arrived",
    "outside_grant": "of an account or region that its agent does not speak for",
    "conflict": "another content under the eventID, account and hour of an event that is held",
    "damaged": "damaged on disk",
    "bad_notification": "a message of a queue that names no object, or one that is not there",
    "spool_damage": "damaged in the agent's spool",
    "set_aside": "a whole batch that the aggregator would not take; its agent keeps it on disk",
}
"""Every reason for which something lies in quarantine, and what it means."""


class SessionIssuer(msgspec.Struct):
    userName: Any = None
    arn: Any = None


class SessionContext(msgspec.Struct):
    sessionIssuer: Any = None


class RecordView(msgspec.Struct):
    """The members of a record that decisions need. Types are checked where they are used."""

    eventTime: Any = None
    eventID: Any = None
    eventId: Any = None
    eventSource: Any = None
    eventName: Any = None
    eventType: Any = None
    eventCategory: Any = None
    awsRegion: Any = None
    recipientAccountId: Any = None
    accountId: Any = None
    userIdentity: Any = None
    readOnly: Any = None
    managementEvent: Any = None
    errorCode: Any = None
    sourceIPAddress: Any = None
    timeWindow: Any = None
    additionalEventData: Any = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A record that is an event."""

    account: str
    region: str
    """What the record says (or its source); the canonical region is identity's business."""
    time_s: int
    """eventTime in seconds since 1970; negative before."""
    event_id: str
    view: RecordView


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something is no event; `reason` is a key of REASONS."""

    reason: str
    detail: str = ""


_view_decoder = msgspec.json.Decoder(RecordView)


def decode_views(ndjson: bytes) -> list[RecordView]:
    """The views of all lines at once; raises msgspec.MsgspecError if any line is no JSON object.

    Members that are not looked at are skipped without checking their text: ask `is_utf8` too.
    """
    return _view_decoder.decode_lines(ndjson)


def is_utf8(data: bytes) -> bool:
    """Whether `data` is UTF-8; for plain ASCII this costs next to nothing."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_too_deep(line: bytes) -> bool:
    """Whether brackets in `line` nest deeper than JSON_MAX_DEPTH.

    Counted, and not left to the decoder: where that gives up depends on how deep its caller stands.
    """
    if line.count(b"{") + line.count(b"[") <= JSON_MAX_DEPTH:
        return False
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(line):
        mark = match[0]
        if mark in _OPENING:
            depth += 1
            if depth > JSON_MAX_DEPTH:
                return True
        elif mark in _CLOSING:
            depth -= 1
    return False


def admit(
    line: bytes, account: str = "", region: str = "", derived_id: str = ""
) -> Admitted | Refused:
    """Whether `line` is an event; `account`, `region`, `derived_id` stand in for what it lacks."""
    if len(line) > EVENT_MAX_BYTES:
        return Refused("too_large", f"{len(line)} bytes")
    if not is_utf8(line):
        return _refusal_of_unreadable(line, UnicodeError())
    if is_too_deep(line):
        return Refused("too_deep")
    try:
        view = _view_decoder.decode(line)
    except RecursionError:
        return Refused("too_deep")
    except msgspec.ValidationError:
        return Refused("not_object")
    except (msgspec.MsgspecError, UnicodeError) as error:
        return _refusal_of_unreadable(line, error)
    return admit_view(view, len(line), account, region, derived_id)


def admit_view(
    view: RecordView, length: int, account: str = "", region: str = "", derived_id: str = ""
) -> Admitted | Refused:
    """Whether a decoded record of `length` bytes is an event."""
    if length > EVENT_MAX_BYTES:
        return Refused("too_large", f"{length} bytes")
    time_s = event_time(view)
    if time_s is None:
        return Refused("no_event_time", repr(view.eventTime)[:80])
    owner = account_of(view) or account
    if _ACCOUNT.fullmatch(owner) is None:
        return Refused("bad_account", repr(owner)[:80])
    where = view.awsRegion if isinstance(view.awsRegion, str) and view.awsRegion else region
    if _REGION.fullmatch(where) is None:
        return Refused("bad_region", repr(where)[:80])
    event_id = event_id_of(view) or derived_id
    if not event_id:
        return Refused("no_event_id")
    id_bytes = len(event_id.encode("utf-8", "surrogatepass"))
    if id_bytes > EVENT_ID_MAX_BYTES or not event_id.isprintable():
        return Refused("bad_event_id", repr(event_id)[:80])
    return Admitted(owner, where, time_s, event_id, view)


def event_time(view: RecordView) -> int | None:
    """Seconds since 1970 of eventTime, or of the window's end of an aggregated record."""
    text = view.eventTime
    if text is None and isinstance(view.timeWindow, dict):
        text = view.timeWindow.get("windowEnd")
    return parse_time(text) if isinstance(text, str) else None


def parse_time(text: str) -> int | None:
    """Seconds since 1970 of an RFC 3339 time, None if it is none; fractions are cut."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    # The form is checked, so every part is digits in its place.
    midnight = _midnight(text[:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    if midnight is None or hour > 23 or minute > 59 or second > 60:
        return None
    seconds = midnight + hour * 3600 + minute * 60 + second
    if match[7]:
        offset = int(match[8]) * 3600 + int(match[9]) * 60
        seconds -= offset if match[7] == "+" else -offset
    return seconds


@functools.lru_cache(maxsize=4096)
def _midnight(date: str) -> int | None:
    """Seconds since 1970 when the day `date` (YYYY-MM-DD) begins; None if there is no such day.

    Kept, because the events of years are of few days and the calendar's arithmetic is dear.
    """
    year, month, day = int(date[:4]), int(date[5:7]), int(date[8:])
    if not (year and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    return calendar.timegm((year, month, day, 0, 0, 0))


def account_of(view: RecordView) -> str:
    """The account a record names, empty if none: the recipient's, else the caller's."""
    if isinstance(view.recipientAccountId, str) and view.recipientAccountId:
        return view.recipientAccountId
    identity = view.userIdentity
    if isinstance(identity, dict):
        account = identity.get("accountId")
        if isinstance(account, str) and account:
            return account
    return view.accountId if isinstance(view.accountId, str) else ""


def event_id_of(view: RecordView) -> str:
    """The eventID a record names (`eventId` in aggregated records), empty if none."""
    for candidate in (view.eventID, view.eventId):
        if isinstance(candidate, str) and candidate:
            return candidate
    return ""


def _refusal_of_unreadable(line: bytes, error: Exception) -> Refused:
    try:
        line.decode()
    except UnicodeDecodeError as undecodable:
        return Refused("bad_utf8", f"at byte {undecodable.start}")
    return Refused("not_json", str(error)[:200])
