"""No process outlives its parent by more than a second, however the parent ends."""

import os
import signal
import subprocess
import sys
import time

from opentrail.clock import SystemClock
from opentrail_aggregator.supervise.parent import PARENT_VARIABLE

GRANDCHILD = """
import os, time
from opentrail_aggregator.supervise.parent import die_with_parent
die_with_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""
CHILD = f"""
import os, subprocess, sys, time
from opentrail_aggregator.supervise.parent import die_with_parent
die_with_parent()
print(os.getpid(), flush=True)
subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}],
                 env={{**os.environ, "{PARENT_VARIABLE}": str(os.getpid())}})
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {CHILD!r}],
                 env={{**os.environ, "{PARENT_VARIABLE}": str(os.getpid())}})
time.sleep(60)
"""


def _gone_within(pid: int, seconds: float) -> bool:
    clock = SystemClock()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                if file.read().rsplit(b")", 1)[1].split()[0] == b"Z":
                    return True
        except FileNotFoundError:
            return True
        clock.pause(0.01)
    return False


def test_kill_9_of_the_uppermost_takes_child_and_grandchild_with_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert all(_gone_within(pid, 1.0) for pid in pids)


def test_a_child_that_comes_too_late_ends_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GRANDCHILD],
        env={**os.environ, PARENT_VARIABLE: "1"},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert done.returncode == 1
    assert "has ended" in done.stderr


def test_started_by_hand_it_lives_on_its_own() -> None:
    program = GRANDCHILD.replace("time.sleep(60)", "")
    environment = {k: v for k, v in os.environ.items() if k != PARENT_VARIABLE}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0
