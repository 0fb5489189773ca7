"""Times as people write them in options and parameters, and as answers show them.

`--start` begins at the first second of what is written, `--end` ends before it: `--start 2026-11-24
--end 2026-11-25` is one day. The language is that of dates in queries (`search/dates.py`).
"""

from datetime import UTC, datetime

from aiohttp import web

from opentrail.errors import UsageError
from opentrail_aggregator.api.answers import text_parameter
from opentrail_aggregator.search.dates import DATE_HINT, parse_date


def period_of(request: web.Request, now_s: int) -> tuple[int | None, int | None]:
    """First and last second that a request asks about, None where it sets no bound."""
    start = _first_second(text_parameter(request, "start"), "start", now_s)
    before = _first_second(text_parameter(request, "end"), "end", now_s)
    end = None if before is None else before - 1
    if start is not None and before is not None and start >= before:
        raise UsageError(
            f"start ({iso_time(start)}) is not before end ({iso_time(before)}); nothing can match"
        )
    return start, end


def iso_time(seconds: int) -> str:
    """RFC 3339 in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _first_second(text: str, name: str, now_s: int) -> int | None:
    if not text:
        return None
    date = parse_date(text.strip())
    if date is None:
        raise UsageError(f"{name}: {text[:80]!r} is no time; {DATE_HINT}")
    return date.span(now_s)[0]
