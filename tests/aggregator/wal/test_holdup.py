"""A log that fills names who holds it back, since when, and how long until it is full."""

from opentrail_aggregator.wal.holdup import Holdup

SECOND = 1_000_000_000
AT = 1_790_000_000


def look(holdup: Holdup, second: int, archive: int, size: int) -> str:
    limits = {"consolidate": 500, "archive": archive, "index": 400}
    holdup.look(float(second), (AT + second) * SECOND, limits, 500, size)
    return holdup.text


def test_the_reader_that_stands_is_named_with_the_time_and_what_is_left() -> None:
    holdup = Holdup(1000)
    for second in range(9):
        assert look(holdup, second, 100, 500 + 10 * second) == ""
    said = look(holdup, 20, 100, 700)
    assert said.startswith("archive holds the log back: it has stood at position 100 of 500 since ")
    assert "2026-09-21T14:13:20Z" in said
    assert "full in about 30 s" in said
    assert "agents wait" in look(holdup, 30, 100, 1000)


def test_who_moves_or_a_log_with_room_is_no_holdup() -> None:
    holdup = Holdup(1000)
    for second in range(100):
        assert look(holdup, second, 100 + second, 900) == ""
    holdup = Holdup(1000)
    for second in range(100):
        assert look(holdup, second, 100, 499) == ""
    assert look(holdup, 101, 100, 500) != ""
    assert look(holdup, 102, 101, 500) == "", "it goes on: the problem is over at once"


def test_a_reader_at_the_end_holds_nothing_back() -> None:
    holdup = Holdup(10)
    for second in range(30):
        holdup.look(float(second), 0, {"archive": 7}, 7, 10)
        assert holdup.text == ""
