"""The rule under test: at once, then later and later, never more than five seconds, then as new."""

from opentrail_aggregator.supervise.restarts import HEALTHY_SECONDS, Restarts


def test_the_first_end_is_answered_at_once() -> None:
    assert Restarts().ended(lived_seconds=0.1) == 0.0


def test_the_wait_grows_and_stays_at_five_seconds() -> None:
    restarts = Restarts()
    assert [restarts.ended(0.1) for _ in range(7)] == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_loop_of_days_does_not_break_the_arithmetic() -> None:
    restarts = Restarts()
    restarts.failures = 1_000_000
    assert restarts.ended(0.1) == 5.0


def test_thirty_seconds_of_health_forget_what_was_before() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.ended(0.1)
    assert restarts.ended(HEALTHY_SECONDS) == 0.0
    assert restarts.ended(0.1) == 0.5
