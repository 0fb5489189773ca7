"""When a day is committed: soon while there is time, seldom when many events come or old ones."""

from pathlib import Path

import pytest

from opentrail_aggregator.index.days import Days
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.settings import IndexSettings
from tests.fakes.clock import FakeClock

DAY = "2026-11-24"
SETTINGS = IndexSettings(commit_seconds=0.5, commit_max_seconds=8.0)


class Stream:
    """Events that come at a rate, and how long each waited for its commit."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.days = Days(lambda name: path / name, SETTINGS, self.clock)
        self.days.recent_from = DAY
        self.position = 1 << 16

    def come(self, count: int) -> None:
        for _ in range(count):
            self.position += 1
            self.days.gather(DAY, Event(b'{"eventName":"A"}', "x", 0, "1", "r", self.position))

    def longest_wait(self, events_per_tick: int, ticks: int) -> float:
        """With one tick each 0.1 s."""
        longest = waiting = 0.0
        for _ in range(ticks):
            self.come(events_per_tick)
            self.clock.advance(0.1)
            waiting += 0.1
            self.days.work(is_idle=False)
            self.days.finish_commits()
            longest = max(longest, waiting)
            if not self.days.uncommitted_events():
                waiting = 0.0
        return longest


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream(tmp_path)


def test_at_a_rate_there_is_time_for_events_wait_half_a_second(stream: Stream) -> None:
    assert stream.longest_wait(100, 20) < 0.75


def test_fast_events_are_committed_seldom_but_at_the_longest_interval(stream: Stream) -> None:
    assert 1.5 < stream.longest_wait(700, 25) <= 8.1


def test_when_a_rush_is_over_what_it_left_does_not_wait_for_the_longest_interval(
    stream: Stream,
) -> None:
    stream.come(1)
    stream.days.work(is_idle=False)
    stream.clock.advance(0.1)
    stream.come(3_500)
    stream.clock.advance(0.45)
    stream.days.work(is_idle=False)
    assert stream.days.uncommitted_events() == 3_500
    stream.clock.advance(0.3)
    stream.days.work(is_idle=False)
    assert not stream.days.uncommitted_events()


def test_what_is_late_already_waits_for_the_longest_interval(stream: Stream) -> None:
    stream.days.is_behind = True
    stream.longest_wait(1, 1)
    assert 7.5 < stream.longest_wait(1, 90) <= 8.1
