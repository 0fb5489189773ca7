"""A segment goes when nobody needs it any more, and not a moment earlier."""

import pytest

from opentrail.limits import MIB
from opentrail_aggregator.wal.release import Standing, is_pressed, release_through

READERS = ("consolidate", "index", "archive")


def standings(consolidate: int, index: int, archive: int, **more: object) -> dict[str, Standing]:
    return {
        "consolidate": Standing(consolidate),
        "index": Standing(index, can_catch_up=bool(more.get("can_catch_up", False))),
        "archive": Standing(archive, recoverable_through=int(str(more.get("recoverable", 0)))),
    }


@pytest.mark.parametrize(
    ("positions", "remembered", "through"),
    [
        ((30, 20, 10), 100, 10),
        ((10, 20, 30), 100, 10),
        ((30, 20, 25), 15, 15),
        ((30, 0, 25), 100, 0),
    ],
)
def test_the_slowest_reader_and_the_ledger_hold_the_log(
    positions: tuple[int, int, int], remembered: int, through: int
) -> None:
    found = release_through(standings(*positions), READERS, remembered, is_pressed=False)
    assert found == through


def test_a_reader_that_never_began_holds_everything() -> None:
    assert release_through({}, READERS, 100, is_pressed=True) == 0


def test_under_pressure_the_index_may_be_left_to_catch_up_from_the_archive() -> None:
    able = standings(90, 10, 80, can_catch_up=True, recoverable=70)
    assert release_through(able, READERS, 100, is_pressed=True) == 70
    assert release_through(able, READERS, 100, is_pressed=False) == 10


def test_what_no_trail_selected_is_held_until_it_is_indexed() -> None:
    """It is in no archive: `recoverable_through` ends before it."""
    able = standings(90, 40, 80, can_catch_up=True, recoverable=20)
    assert release_through(able, READERS, 100, is_pressed=True) == 40


def test_an_index_that_cannot_catch_up_holds_the_log_even_when_it_is_full() -> None:
    unable = standings(90, 10, 80, recoverable=80)
    assert release_through(unable, READERS, 100, is_pressed=True) == 10


def test_without_an_index_role_its_cursor_does_not_count() -> None:
    found = release_through(standings(90, 0, 80), ("consolidate", "archive"), 100, is_pressed=False)
    assert found == 80


def test_pressure_begins_before_the_log_is_full() -> None:
    assert not is_pressed(899 * MIB, 1000 * MIB)
    assert is_pressed(900 * MIB, 1000 * MIB)


def test_a_small_log_is_pressed_while_it_still_has_room_for_what_comes_between_two_looks() -> None:
    assert not is_pressed(223 * MIB, 256 * MIB)
    assert is_pressed(224 * MIB, 256 * MIB)
    assert not is_pressed(5 * MIB, 8 * MIB)
    assert is_pressed(6 * MIB, 8 * MIB)
