"""Waits grow, are random, are bounded, and addresses take turns."""

import random

from opentrail_agent.ship.backoff import Backoff


def backoff(*addresses: str, seed: int = 1) -> Backoff:
    return Backoff(
        addresses or ("a:1",), initial_seconds=1, max_seconds=8, generator=random.Random(seed)
    )


def test_waits_double_up_to_their_bound() -> None:
    subject = backoff()
    waits = [subject.failed() for _ in range(200)]
    for wait, bound in zip(waits, [1, 2, 4, 8] + [8] * 196, strict=True):
        assert bound / 4 <= wait <= bound


def test_agents_that_failed_together_do_not_come_back_together() -> None:
    waits = {backoff(seed=seed).failed() for seed in range(100)}
    assert len(waits) == 100
    assert max(waits) - min(waits) > 0.5


def test_a_failure_moves_on_to_the_next_address_and_only_a_whole_round_waits_longer() -> None:
    subject = backoff("a:1", "b:1")
    seen, waits = [], []
    for _ in range(4):
        seen.append(subject.address)
        waits.append(subject.failed())
    assert seen == ["a:1", "b:1", "a:1", "b:1"]
    assert max(waits[:2]) <= 1 < 2 >= max(waits[2:])


def test_success_makes_the_next_failure_a_first_one() -> None:
    subject = backoff()
    for _ in range(10):
        subject.failed()
    subject.succeeded()
    assert subject.failed() <= 1


def test_years_of_failures_do_not_overflow() -> None:
    subject = backoff()
    assert max(subject.failed() for _ in range(5000)) <= 8
