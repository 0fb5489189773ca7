"""Dates in a query: a moment written to some precision, which stands for a span of time.

    2026-11-24            the whole day          2026-11-24T10:05Z     that minute
    2026-11-24T10:05:07   that second            now-2h, 2h            the second two hours ago

`field:DATE` asks for the span, `>=` begins at its start, `>` behind its end, `<` before its start,
`<=` through its end; a range in brackets likewise. Without an offset a date is UTC. All of it is
in whole seconds, as CloudTrail's eventTime is. A relative date is kept relative in the tree and
counted from one `now` for all pages of a search.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_ABSOLUTE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d{1,9})?)?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.ASCII,
)
_RELATIVE = re.compile(r"(?:now)?(?P<sign>[+-])?(?P<count>\d{1,9})(?P<unit>[smhdw])", re.ASCII)
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
DATE_HINT = (
    "write 2026-11-24, 2026-11-24T10:05:00Z, now, now-2h or 2h (two hours ago; units s m h d w)"
)


@dataclass(frozen=True, slots=True)
class DateValue:
    """The seconds from `first` through `last`; relative ones are counted from `now`."""

    first: int
    last: int
    relative: bool = False

    def span(self, now: int) -> tuple[int, int]:
        """First and last second, seconds since 1970."""
        shift = now if self.relative else 0
        return self.first + shift, self.last + shift


def parse_date(text: str) -> DateValue | None:
    """The date `text` says, or None if it says none."""
    if text == "now":
        return DateValue(0, 0, relative=True)
    if match := _RELATIVE.fullmatch(text):
        seconds = int(match["count"]) * UNIT_SECONDS[match["unit"]]
        if not text.startswith("now") and match["sign"]:
            return None
        if text.startswith("now") and not match["sign"]:
            return None
        shift = seconds if match["sign"] == "+" else -seconds
        return DateValue(shift, shift, relative=True)
    if match := _ABSOLUTE.fullmatch(text):
        return _absolute(match)
    return None


def write_date(value: DateValue) -> str:
    """Text that `parse_date` reads as an equal value."""
    if value.relative:
        return f"now{value.first:+d}s" if value.first else "now"
    first = datetime.fromtimestamp(value.first, UTC)
    seconds = value.last - value.first
    if seconds == 0:
        return first.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)
    if seconds == 59:
        return first.strftime("%Y-%m-%dT%H:%MZ").zfill(17)
    if seconds == 3599:
        # Written with an offset of half an hour, an hour begins in the middle of one of UTC's.
        ahead = -first.minute % 60
        local = first + timedelta(minutes=ahead)
        return local.strftime("%Y-%m-%dT%H").zfill(13) + f"+00:{ahead:02d}"
    if seconds == 86399:
        return first.strftime("%Y-%m-%d").zfill(10)
    if seconds > 86400 * 31:
        return first.strftime("%Y").zfill(4)
    if seconds > 86399:
        return first.strftime("%Y-%m").zfill(7)
    raise AssertionError(f"no date is written with a span of {seconds} seconds")


def _absolute(match: re.Match[str]) -> DateValue | None:
    parts = {
        name: int(match[name] or least)
        for name, least in (
            ("year", 0), ("month", 1), ("day", 1), ("hour", 0), ("minute", 0), ("second", 0)
        )
    }  # fmt: skip
    parts["second"] = min(parts["second"], 59)  # A leap second is the last second of its minute.
    try:
        first = datetime(**parts, tzinfo=UTC)
        after = _after(first, match)
        shift = _offset(match["zone"])
    except (ValueError, OverflowError):
        return None
    epoch = int(first.timestamp()) - shift
    return DateValue(epoch, epoch + int((after - first).total_seconds()) - 1)


def _after(first: datetime, match: re.Match[str]) -> datetime:
    """The first moment behind the span that was written."""
    if match["second"]:
        return first + timedelta(seconds=1)
    if match["minute"]:
        return first + timedelta(minutes=1)
    if match["hour"]:
        return first + timedelta(hours=1)
    if match["day"]:
        return first + timedelta(days=1)
    if match["month"]:
        return (first + timedelta(days=31)).replace(day=1)
    return first.replace(year=first.year + 1)


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
