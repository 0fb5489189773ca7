"""LookupEvents: management and Insight events of 90 days, newest first, by CloudTrail's attributes.

The question becomes one query of the search language, so what is found here is what `opentrail
lookup` finds. The region is that of the signature: global services lie in the global region. Beyond
AWS: several attributes are AND-ed, and the region `all` asks for every region of the key.
"""

import math
from typing import Any

import orjson

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.api.answers import Unavailable
from opentrail_aggregator.api.searching import Searching
from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.token import read_token, write_token
from opentrail_aggregator.search.engine import Deadline, Engine, Hit, Page, Scope
from opentrail_aggregator.search.errors import CursorError, QueryError, SearchUnavailableError
from opentrail_aggregator.search.lookup import lookup_event

ALL_REGIONS = "all"
DAYS = 90
PAGE_MAX = 50
ATTRIBUTES_MAX = 8
INSIGHT_ATTRIBUTES = ("EventId", "EventName", "EventSource")
# Records of before 2020, and of other makers, do not say their category.
_MANAGEMENT = (
    "(eventCategory:Management OR NOT _exists_:eventCategory) AND NOT managementEvent:false"
)
_INSIGHT = "eventCategory:Insight"


class LookupEvents:
    """Answers one operation from one engine."""

    def __init__(self, engine: Engine, searching: Searching, clock: Clock) -> None:
        self._engine = engine
        self._searching = searching
        self._clock = clock

    async def __call__(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        """`given` was checked against the model."""
        attributes = given.get("LookupAttributes") or []
        is_insight = given.get("EventCategory") == "insight"
        _check_attributes(attributes, is_insight=is_insight)
        start, end = _seconds(given)
        bound = {name: given.get(name) for name in _BOUND} | {"region": call.region}
        token = given.get("NextToken")
        cursor = None if token is None else _place(bound, token)
        earliest = self._clock.now_ns() // 1_000_000_000 - DAYS * 86400
        start = earliest if start is None else max(start, earliest)
        if end is not None and end < start:
            return {"Events": []}
        query = query_of(attributes, is_insight=is_insight)
        regions = call.scope.regions if call.region == ALL_REGIONS else (call.region,)
        scope = Scope(call.scope.accounts, regions)
        limit = given.get("MaxResults") or PAGE_MAX

        def ask(deadline: Deadline) -> Page:
            # The times of a search travel in its cursor.
            return self._engine.search(
                query,
                start=None if cursor else start,
                end=None if cursor else end,
                limit=limit,
                cursor=cursor,
                scope=scope,
                deadline=deadline,
            )

        try:
            page = await self._searching.ask(ask)
        except CursorError as error:
            raise _bad_token(error) from error
        except QueryError as error:
            raise ApiError("InvalidLookupAttributesException", error.message) from error
        except SearchUnavailableError as error:
            raise Unavailable(str(error)) from error
        except OpenTrailError as error:
            raise Unavailable(str(error)) from error
        answer: dict[str, Any] = {"Events": [_event(hit) for hit in page.hits]}
        if page.next_cursor is not None:
            answer["NextToken"] = write_token(bound, page.next_cursor)
        return answer


_BOUND = ("LookupAttributes", "StartTime", "EndTime", "EventCategory")


def query_of(attributes: list[dict[str, str]], *, is_insight: bool) -> str:
    """The query that finds what AWS would; values are exact, whatever characters they hold."""
    terms = []
    for each in attributes:
        value = each["AttributeValue"].replace("\\", "\\\\").replace('"', '\\"')
        terms.append(f'{each["AttributeKey"]}:"{value}"')
    return " AND ".join([*terms, _INSIGHT if is_insight else _MANAGEMENT])


def _check_attributes(attributes: list[dict[str, str]], *, is_insight: bool) -> None:
    if len(attributes) > ATTRIBUTES_MAX:
        raise ApiError(
            "InvalidLookupAttributesException",
            f"{len(attributes)} lookup attributes; at most {ATTRIBUTES_MAX}.",
        )
    for each in attributes:
        key = each["AttributeKey"]
        if is_insight and key not in INSIGHT_ATTRIBUTES:
            raise ApiError(
                "InvalidLookupAttributesException",
                f"Insights events are looked up by {', '.join(INSIGHT_ATTRIBUTES)}, not by {key}.",
            )
        if key == "ReadOnly" and each["AttributeValue"] not in ("true", "false"):
            raise ApiError(
                "InvalidLookupAttributesException", "The value of ReadOnly is true or false."
            )


def _seconds(given: dict[str, Any]) -> tuple[int | None, int | None]:
    start, end = given.get("StartTime"), given.get("EndTime")
    if start is not None and end is not None and start > end:
        raise ApiError(
            "InvalidTimeRangeException", "The start time must be before or equal to the end time."
        )
    return (
        None if start is None else math.ceil(start),
        None if end is None else math.floor(end),
    )


def _place(bound: dict[str, Any], token: str) -> str:
    try:
        return read_token(bound, token)
    except ValueError as error:
        raise _bad_token(error) from error


def _bad_token(error: Exception) -> ApiError:
    return ApiError(
        "InvalidNextTokenException",
        f"The NextToken is not one of this request ({error}); begin again without it.",
    )


def _event(hit: Hit) -> dict[str, Any]:
    try:
        record = orjson.loads(hit.record)
    except orjson.JSONDecodeError:  # It was admitted: what only our own reader takes.
        record = {}
    text = hit.record.decode("utf-8", "replace")
    event = lookup_event(record, hit.event_id, text, hit.time_s)
    return {name: value if _is_plain(value) else str(value) for name, value in event.items()}


def _is_plain(value: object) -> bool:
    """What clients can parse: a strange record's members may have any type."""
    return isinstance(value, str | int | list) and not isinstance(value, bool)
