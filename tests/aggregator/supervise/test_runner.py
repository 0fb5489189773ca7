"""A role's process works until told to stop, tells its state each second, and fails loudly."""

import asyncio
import json
import os
import signal
import threading
from pathlib import Path

import pytest

from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.supervise.runner import (
    Publisher,
    RoleEndedError,
    run_process,
    run_steps,
)
from tests.fakes.clock import FakeClock


class Counting:
    """A role with `work` pieces of work; it stops the loop when all is done twice over."""

    def __init__(self, name: str, work: int, stop: threading.Event | None = None) -> None:
        self.name = name
        self.work = work
        self.idle = 0
        self.closed = False
        self._stop = stop

    def step(self) -> bool:
        if self.work:
            self.work -= 1
            return True
        self.idle += 1
        if self._stop is not None and self.idle > 100:
            self._stop.set()
        return False

    def close(self) -> None:
        self.closed = True


def _publisher(tmp_path: Path, clock: FakeClock) -> Publisher:
    return Publisher(Home(tmp_path), [Metrics("index", clock)], clock)


def test_roles_of_one_process_take_turns(tmp_path: Path) -> None:
    clock, stop = FakeClock(), threading.Event()
    roles = [Counting("one", 5, stop), Counting("other", 3)]
    run_steps(roles, stop, _publisher(tmp_path, clock), clock)
    assert [role.work for role in roles] == [0, 0]
    assert all(role.closed for role in roles)


def test_idle_waits_and_work_does_not(tmp_path: Path) -> None:
    clock, stop = FakeClock(), threading.Event()
    started = clock.monotonic()
    run_steps([Counting("one", 1000, stop)], stop, _publisher(tmp_path, clock), clock)
    assert clock.monotonic() - started == pytest.approx(0.025 * 101)


def test_the_status_file_is_written_while_it_works(tmp_path: Path) -> None:
    clock, stop = FakeClock(), threading.Event()
    run_steps([Counting("one", 0, stop)], stop, _publisher(tmp_path, clock), clock)
    snapshot = json.loads((tmp_path / "run" / "status" / "index.json").read_bytes())
    assert snapshot["at_ns"] == clock.now_ns()


def test_a_step_that_fails_closes_all_and_ends_the_process(tmp_path: Path) -> None:
    class Failing(Counting):
        def step(self) -> bool:
            raise OSError("no space left on device")

    clock = FakeClock()
    roles = [Counting("well", 1), Failing("sick", 1)]
    with pytest.raises(OSError, match="no space left"):
        run_steps(roles, threading.Event(), _publisher(tmp_path, clock), clock)
    assert all(role.closed for role in roles)


class Serving:
    """A server that does what `behaviour` says once it runs."""

    def __init__(self, behaviour: str) -> None:
        self.name = "server"
        self.behaviour = behaviour
        self.stopped = False

    async def run(self, stop: asyncio.Event) -> None:
        if self.behaviour == "fails":
            raise OSError("address in use")
        if self.behaviour == "returns":
            return
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        self.stopped = True


def test_a_signal_ends_server_and_steps_in_order(tmp_path: Path) -> None:
    clock, server, role = FakeClock(), Serving("serves"), Counting("beside", 3)
    run_process([server], [role], _publisher(tmp_path, clock), clock)
    assert server.stopped
    assert role.closed


def test_a_server_that_fails_takes_the_steps_with_it(tmp_path: Path) -> None:
    clock, role = FakeClock(), Counting("beside", 3)
    with pytest.raises(OSError, match="address in use"):
        run_process([Serving("fails")], [role], _publisher(tmp_path, clock), clock)
    assert role.closed


def test_a_server_that_returns_unasked_is_a_fault(tmp_path: Path) -> None:
    clock = FakeClock()
    with pytest.raises(RoleEndedError):
        run_process([Serving("returns")], [], _publisher(tmp_path, clock), clock)
