"""When a part is due: a plain table of times."""

import pytest

from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.parts import (
    IMPORT_ENDED,
    SETTLE_MAX,
    SETTLED,
    OpenPart,
    Settling,
    due,
)

MINUTE = 60
HOUR = 3600
SETTLING = Settling(3 * MINUTE, 10 * MINUTE)
PART_HOUR = 100


def part(first: float, last: float, importers: tuple[str, ...] = ()) -> OpenPart:
    """A part of hour 100 whose live events arrived between these seconds after its beginning."""
    begin = PART_HOUR * HOUR
    return OpenPart(
        1,
        PartKey("arn", "1" * 12, "r", PART_HOUR, "CloudTrail"),
        live_first_ns=int((begin + first) * 1e9),
        live_last_ns=int((begin + last) * 1e9),
        quiet_since=begin + last,
        importers=importers,
    )


def decide(each: OpenPart, at: float, running: frozenset[str] = frozenset()) -> str | None:
    now = PART_HOUR * HOUR + at
    return due(each, int(now * 1e9), now, SETTLING, running)


@pytest.mark.parametrize(
    ("first", "last", "at", "expected"),
    [
        (0, 10, HOUR - 1, None),  # The hour has not ended.
        (0, 10, HOUR + 179, None),  # What is under way at its end may still come.
        (0, 10, HOUR + 180, SETTLED),
        (0, HOUR + 60, HOUR + 239, None),  # Something came less than three minutes ago.
        (0, HOUR + 60, HOUR + 240, SETTLED),
        (0, HOUR + 590, HOUR + 599, None),  # Stragglers keep it open ...
        (0, HOUR + 599, HOUR + 600, SETTLE_MAX),  # ... but not beyond the latest.
        (5 * HOUR, 5 * HOUR, 5 * HOUR + 170, None),  # Late events have spans of their own.
        (5 * HOUR, 5 * HOUR, 5 * HOUR + 180, SETTLED),
        (5 * HOUR, 5 * HOUR + 590, 5 * HOUR + 599, None),
        (5 * HOUR, 5 * HOUR + 590, 5 * HOUR + 600, SETTLE_MAX),
        (-5 * HOUR, -5 * HOUR, -5 * HOUR + 599, None),  # Dated far ahead.
        (-5 * HOUR, -5 * HOUR, -5 * HOUR + 600, SETTLE_MAX),
        (-5, 1, HOUR - 1, None),  # Dated a little ahead.
        (-5, 1, HOUR + 180, SETTLED),
    ],
)
def test_the_table_of_the_design(first: float, last: float, at: float, expected: str) -> None:
    assert decide(part(first, last), at) == expected


def imported(*importers: str) -> OpenPart:
    return OpenPart(1, PartKey("arn", "1" * 12, "r", PART_HOUR, "CloudTrail"), importers=importers)


def test_an_imported_part_waits_for_all_its_imports_and_for_nothing_else() -> None:
    both = imported("a", "b")
    assert decide(both, 100 * HOUR, frozenset(("a", "b"))) is None
    assert decide(both, 100 * HOUR, frozenset(("b",))) is None
    assert decide(both, 0, frozenset(("c",))) == IMPORT_ENDED


def test_live_events_in_an_imported_part_hold_to_the_latest_only() -> None:
    mixed = part(0, 10, ("a",))
    running = frozenset(("a",))
    assert decide(mixed, HOUR + 599, running) is None
    assert decide(mixed, HOUR + 600, running) == SETTLE_MAX
    assert decide(mixed, HOUR + 180) == SETTLED
