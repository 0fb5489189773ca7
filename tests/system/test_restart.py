"""A stop is a crash with manners: quick to end, quick to go on, whatever is waiting."""

import time
from pathlib import Path

import pytest

from .oracle import judge
from .processes import Installation
from .producer import Load, Producer

pytestmark = pytest.mark.long


def test_sigterm_under_load_ends_it_within_ten_seconds_and_it_goes_on(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 11)
    producer.write(500)
    installation.start(producer.pattern)
    with Load(producer, 500):
        for _ in range(3):
            time.sleep(1.5)
            installation.stop(10)
            installation.start(producer.pattern)
    judge(installation, producer, at_least=1000)


def test_a_backlog_does_not_make_the_start_longer(
    installation: Installation, tmp_path: Path
) -> None:
    """Everything waits in the files and in the log when it starts; it still answers at once."""
    producer = Producer(tmp_path / "source", 12)
    installation.start(producer.pattern)
    empty = restart_seconds(installation, producer)
    producer.write(30_000, plain=True)
    time.sleep(1.0)
    full = restart_seconds(installation, producer)
    print(f"start with nothing waiting {empty:.2f} s, with a backlog {full:.2f} s")
    # The promise is 2 s on a quiet machine; here other work may run beside it, and the backlog
    # itself is being worked on while the start is timed.
    assert full <= max(2.0, 2 * empty + 1.0)
    judge(installation, producer, at_least=30_000)


def restart_seconds(installation: Installation, producer: Producer) -> float:
    installation.stop(10)
    started = time.monotonic()
    installation.start(producer.pattern)
    return time.monotonic() - started
