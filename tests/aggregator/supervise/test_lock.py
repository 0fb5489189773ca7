"""A lock of the dying is waited for; a lock of the living is named."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail.errors import LockedError
from opentrail_aggregator.supervise.lock import acquire_lock

HOLDER = """
import sys, time
from pathlib import Path
from opentrail.files import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def _holder(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_whose_holder_dies_meanwhile_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "role.lock"
    with _holder(path) as holder:
        timer = threading.Timer(0.2, holder.kill)
        timer.start()
        lock = acquire_lock(path, SystemClock(), wait_seconds=5.0)
        timer.join()
    lock.release()


def test_a_lock_of_the_living_is_refused_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "role.lock"
    with _holder(path) as holder:
        with pytest.raises(LockedError, match=f"living process {holder.pid}"):
            acquire_lock(path, SystemClock(), wait_seconds=0.1)
        holder.kill()
