"""What is shown is a courtesy: that it cannot be written must not end anything."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from opentrail_aggregator.cli.screen import PlainScreen, TerminalScreen
from tests.fakes.clock import FakeClock


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A file on a disk that is full."""
    file = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115
    yield file
    with contextlib.suppress(OSError):
        file.close()


def test_lines_to_a_full_disk_are_lost_and_nothing_else(full: TextIO) -> None:
    screen = PlainScreen(FakeClock(), full)
    for _ in range(3):
        screen.say("x" * 10_000)
    screen.close()


def test_a_log_that_cannot_be_written_does_not_stop_the_screen(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    log.symlink_to("/dev/full")
    screen = TerminalScreen(FakeClock(), [], log)
    for _ in range(3):
        screen.say("x" * 10_000)
    screen.close()
