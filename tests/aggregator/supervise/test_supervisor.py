"""Real processes: what ends is started again and told about; a stop ends all of them in time."""

import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from opentrail.clock import SystemClock
from opentrail_aggregator.supervise.child import ChildSpec, Ended
from opentrail_aggregator.supervise.supervisor import Supervisor


class Watched:
    """A supervisor with what it told."""

    def __init__(self, *programs: str) -> None:
        self.lines: list[tuple[str, str]] = []
        self.ends: list[tuple[Ended, float | None]] = []
        self.supervisor = Supervisor(
            [
                ChildSpec(f"child{number}", [sys.executable, "-u", "-c", program])
                for number, program in enumerate(programs)
            ],
            clock=SystemClock(),
            on_line=lambda name, text: self.lines.append((name, text)),
            on_end=lambda ended, delay: self.ends.append((ended, delay)),
        )

    def turn_until(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, (self.lines, self.ends, self.supervisor.children)
            self.supervisor.turn(0.1)


def test_what_ends_is_started_again_and_its_last_words_are_told() -> None:
    watched = Watched("print('first'); raise SystemExit('the disk is on fire')")
    watched.turn_until(lambda: len(watched.ends) == 2)
    watched.supervisor.stop(1.0)
    (first, at_once), (_, later) = watched.ends
    assert (first.code, first.last_line) == (1, "the disk is on fire")
    assert (at_once, later) == (0.0, 0.5)
    assert "exit code 1" in str(first)
    assert "it said last: the disk is on fire" in str(first)


def test_a_signal_is_told_by_its_name() -> None:
    watched = Watched("print('up'); import time; time.sleep(60)")
    watched.turn_until(lambda: bool(watched.lines))
    watched.supervisor.children[0].signal(signal.SIGKILL)
    watched.turn_until(lambda: bool(watched.ends))
    watched.supervisor.stop(1.0)
    assert "killed by SIGKILL" in str(watched.ends[0][0])


def test_a_sick_child_leaves_the_others_alone() -> None:
    watched = Watched("raise SystemExit(1)", "print('well'); import time; time.sleep(60)")
    watched.turn_until(lambda: len(watched.ends) >= 2 and ("child1", "well") in watched.lines)
    assert {ended.name for ended, _ in watched.ends} == {"child0"}
    watched.supervisor.stop(1.0)


def test_wrong_configuration_ends_everything_instead_of_looping() -> None:
    watched = Watched("raise SystemExit(78)", "import time; time.sleep(60)")
    assert watched.supervisor.run() == 78
    watched.supervisor.stop(1.0)
    assert [(ended.name, delay) for ended, delay in watched.ends] == [("child0", None)]


def test_a_program_that_is_not_there_is_an_end_like_any_other() -> None:
    watched = Watched()
    supervisor = Supervisor(
        [ChildSpec("gone", ["/no/such/program"])],
        clock=SystemClock(),
        on_line=lambda *_: None,
        on_end=lambda ended, delay: watched.ends.append((ended, delay)),
    )
    supervisor.turn(0.0)
    supervisor.stop(1.0)
    assert "/no/such/program" in watched.ends[0][0].last_line


def test_stop_kills_what_does_not_listen() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    watched = Watched(deaf)
    watched.turn_until(lambda: bool(watched.lines))
    pid = watched.supervisor.children[0].pid
    assert pid is not None
    before = time.monotonic()
    watched.supervisor.stop(0.3)
    assert 0.3 <= time.monotonic() - before < 3.0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_stopped_child_still_gets_its_chance_to_end_in_order() -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (print('bye'), sys.exit(0)))\n"
        "print('up'); time.sleep(60)"
    )
    watched = Watched(program)
    watched.turn_until(lambda: bool(watched.lines))
    watched.supervisor.children[0].signal(signal.SIGSTOP)
    watched.supervisor.stop(5.0)
    assert ("child0", "bye") in watched.lines
    assert watched.ends == []


def test_a_line_without_end_is_cut_and_does_not_fill_memory() -> None:
    watched = Watched("import sys, time; sys.stdout.write('x' * 100_000); time.sleep(60)")
    watched.turn_until(lambda: sum(len(text) for _, text in watched.lines) > 90_000)
    assert max(len(text) for _, text in watched.lines) <= 4096
    watched.supervisor.stop(1.0)
