"""One event taken out of any store, and status names the figure; events that stream in do not."""

import dataclasses
from typing import Any

import pytest

from opentrail_aggregator.status.room import Trend
from opentrail_aggregator.status.sums import Judged, Sink, described, equations, wrong_figures
from tests.aggregator.api.serving import figures


def test_sums_that_agree_say_so() -> None:
    told = described(figures())
    assert told["sums_agree"]
    assert told["pending"] == {"index": 0, "archive": 10}
    assert told["received"] == 100


def test_stores_at_different_places_of_the_log_still_agree() -> None:
    moving = figures(
        position=20,
        received=180,
        judged=Judged(15, 120, 10, 20),
        received_judged=150,
        quarantined=20,
        index=Sink("index", 12, 110, done=100, aside=10),
        archive=Sink("archive", 3, 40, done=10, aside=5, staged=25),
    )
    assert wrong_figures(moving) == []
    assert all(left == right for _, left, right in equations(moving))
    assert moving.pending == {"index": 40, "archive": 135}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("received", {"received_judged": 99}),
        ("quarantined", {"quarantined": 5}),
        ("indexed", {"index": Sink("index", 9, 90, done=87, aside=2)}),
        ("indexed", {"index": Sink("index", 9, 90, done=88, aside=1)}),
        ("indexed", {"index": Sink("index", 9, 90, done=86, aside=2, missing=2)}),
        ("archived", {"archive": Sink("archive", 8, 85, done=79, aside=0, staged=5)}),
        ("archived", {"archive": Sink("archive", 8, 85, done=80, aside=0, staged=4)}),
        ("archived", {"archive": Sink("archive", 8, 85, 80, 0, 5, 0, ("KEY: is missing",))}),
        ("received", {"judged": Judged(9, 90, 3, 6)}),
    ],
)
def test_a_figure_that_is_wrong_is_named(name: str, changes: dict[str, Any]) -> None:
    told = described(figures(**changes))
    assert not told["sums_agree"]
    assert any(each.startswith(f"{name}:") for each in told["wrong"]), told["wrong"]


def test_one_too_many_is_as_wrong_as_one_too_few() -> None:
    doubled = dataclasses.replace(figures().index, done=89)
    assert described(figures(index=doubled))["wrong"][0].endswith("(+1)")


def test_the_time_to_full_follows_what_was_written_lately() -> None:
    trend = Trend(reserve_bytes=1000, log_max_bytes=10_000)
    assert trend.look(0.0, 100_000, 0).seconds_to_full is None
    room = trend.look(100.0, 90_000, 500)
    assert room.bytes_per_second == pytest.approx(100.0)
    # The disk has 89,000 bytes above its reserve at 100/s, the log 9,500 below its limit at 5/s.
    assert room.seconds_to_full == pytest.approx(890.0)


def test_nothing_that_shrinks_will_ever_be_full() -> None:
    trend = Trend(reserve_bytes=1000, log_max_bytes=10_000)
    trend.look(0.0, 100_000, 5000)
    assert trend.look(60.0, 110_000, 4000).seconds_to_full is None


def test_below_the_reserve_it_is_full_now() -> None:
    trend = Trend(reserve_bytes=1000, log_max_bytes=10_000)
    trend.look(0.0, 2_000, 0)
    assert trend.look(60.0, 500, 0).seconds_to_full == 0.0
