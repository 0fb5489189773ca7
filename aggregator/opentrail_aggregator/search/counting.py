"""Counts by value and by time: what may be counted, and in what order counts are told."""

from datetime import UTC, datetime

from opentrail_aggregator.search.engine import Buckets
from opentrail_aggregator.search.errors import QueryError
from opentrail_aggregator.search.fields import UNIQUE, Field, Kind, find_field, suggest


def countable_field(name: str) -> Field:
    """The field that events can be counted by; QueryError says why not."""
    field = find_field(name)
    end = len(name)
    if field is None:
        meant = suggest(name)
        hint = f"did you mean {meant}?" if meant else "count by hour, day or a field's name"
        raise QueryError(f'there is no field "{name}" to count by', name, 0, end, hint)
    if field.kind is Kind.TREE:
        raise QueryError(
            f"{name} is an object and has no values", name, 0, end, f"name a member: {name}.…"
        )
    if field.kind is Kind.DATE:
        raise QueryError(f"{name} is a date", name, 0, end, "count by hour or day")
    if field.stored in UNIQUE:
        raise QueryError(
            f"nearly every event has another {name}", name, 0, end, "count by another field"
        )
    return field


def rank(counts: dict[str, int], matched: int, top: int) -> Buckets:
    """The `top` values: by count descending, then by value."""
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0].encode()))
    return Buckets(ranked[:top], matched, sum(number for _, number in ranked[top:]))


def hour_name(second: int) -> str:
    """The name of the hour or day that begins at `second`."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)
