"""The world fails under real processes: a full disk, a failing one, a hang, a clock that jumps,
a cloned host, a host that wakes up from a snapshot.  Afterwards the oracle is clean."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .oracle import judge
from .processes import Installation, Process, wait_for
from .producer import Load, Producer
from .tools import need, need_private_mounts

pytestmark = pytest.mark.long
CLONE_NEWNS = 0x00020000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MB, seen by this process and its children only."""
    need_private_mounts()
    library = ctypes.CDLL(None, use_errno=True)
    assert library.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the space that is left, as another program would."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return ballast


def test_a_full_disk_holds_everything_up_and_loses_nothing(
    small_disk: Path, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 31)
    producer.write(1000)
    installation = Installation(small_disk)
    small = {
        "OPENTRAIL_LOG_MAX_BYTES": "32MB",
        "OPENTRAIL_DISK_RESERVE": "8MB",
        "OPENTRAIL_SPOOL_RESERVE_BYTES": "8MB",
    }
    try:
        installation.start(producer.pattern, environment=small)
        installation.wait_until_drained(producer.owed.lines)
        ballast = fill(small_disk)
        producer.write(3000)
        wait_for("not ready: the disk is full", lambda: not installation.is_ready(), 15)
        time.sleep(2)
        ballast.unlink()
        wait_for("ready again", installation.is_ready, 15)
        judge(installation, producer, at_least=3000)
    finally:
        installation.destroy()


@pytest.mark.parametrize("victim", ["agent", "ingest", "consolidate", "index"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_sync_that_fails_is_never_taken_for_done(
    installation: Installation, tmp_path: Path, victim: str, error: str
) -> None:
    strace = need("strace")
    producer = Producer(tmp_path / "source", 32)
    producer.write(300)
    installation.start(producer.pattern)
    process = installation.find(victim)
    inject = f"inject=fdatasync,fsync:error={error}:when=3+4"
    trace = subprocess.Popen(
        [strace, "-f", "-qq", "-o", str(tmp_path / "trace"), "-p", str(process.pid),
         "-e", "trace=fdatasync,fsync", "-e", inject],
    )  # fmt: skip
    try:
        with Load(producer, 400):
            time.sleep(5)
    finally:
        trace.terminate()
        trace.wait()
    assert "INJECTED" in (tmp_path / "trace").read_text(), "nothing was injected: vacuous"
    judge(installation, producer, at_least=1000)


@pytest.mark.parametrize("victim", ["agent", "ingest", "consolidate", "index", "api"])
def test_a_process_that_hangs_is_noticed_and_goes_on(
    installation: Installation, tmp_path: Path, victim: str
) -> None:
    producer = Producer(tmp_path / "source", 33)
    installation.start(producer.pattern)
    process = installation.find(victim)
    with Load(producer, 300):
        time.sleep(1)
        process.kill(signal.SIGSTOP)
        time.sleep(6)
        process.kill(signal.SIGCONT)
    producer.write(500)
    judge(installation, producer, at_least=1000)


def test_a_clock_that_jumps_changes_no_event(installation: Installation, tmp_path: Path) -> None:
    """The wall clock of every process a day ahead, an hour behind, then right."""
    producer = Producer(tmp_path / "source", 34, age_hours=30)
    for offset in ("86400", "-3600", "0"):
        installation.start(producer.pattern, environment={"OPENTRAIL_CLOCK_OFFSET": offset})
        with Load(producer, 300):
            time.sleep(2)
        installation.stop()
    installation.start(producer.pattern)
    judge(installation, producer, at_least=1000)


def test_a_host_restored_from_a_snapshot_doubles_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    """The agent's disk is put back to an earlier moment: it uses numbers again that are held."""
    producer = Producer(tmp_path / "source", 35)
    producer.write(500)
    installation.start(producer.pattern)
    installation.wait_until_drained(producer.owed.lines)
    installation.stop()
    shutil.copytree(installation.home / "agent", tmp_path / "snapshot")
    installation.start(producer.pattern)
    for _ in range(4):
        producer.write(300)
        time.sleep(0.7)
    installation.wait_until_drained(producer.owed.lines)
    installation.stop()
    shutil.rmtree(installation.home / "agent")
    shutil.copytree(tmp_path / "snapshot", installation.home / "agent")
    producer.write(300)
    installation.start(producer.pattern)
    judge(installation, producer, at_least=1000, repeats=True)


def test_a_cloned_agent_is_noticed_and_loses_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    """A copy of the agent's directory runs as a second agent and sends other events."""
    producer = Producer(tmp_path / "source", 36)
    producer.write(500)
    installation.start(producer.pattern)
    installation.wait_until_drained(producer.owed.lines)
    installation.stop()
    original, clone = installation.home / "agent", tmp_path / "clone"
    shutil.copytree(original, clone)
    installation.start(producer.pattern)
    producer.write(400)
    installation.wait_until_drained(producer.owed.lines)
    installation.stop()
    shutil.move(original, tmp_path / "original")
    shutil.copytree(clone, original)
    second = Producer(tmp_path / "elsewhere", 37)
    second.owed = producer.owed
    second.first_number = 1_000_000
    second.write(400)
    installation.start(second.pattern)
    installation.wait_until_drained(producer.owed.lines)
    assert b'code="fork"' in installation.get("/metrics")[1], "no fork: vacuous"
    assert "fork" in str(installation.status()["problems"])
    installation.stop()
    shutil.rmtree(original)
    shutil.move(tmp_path / "original", original)
    installation.start(producer.pattern)
    judge(installation, producer, at_least=1000)


def test_a_process_out_of_memory_or_files_comes_back(
    installation: Installation, tmp_path: Path
) -> None:
    """A limit is put on a running process; it may die, and must do its work after that."""
    prlimit = need("prlimit")
    producer = Producer(tmp_path / "source", 38)
    installation.start(producer.pattern)
    processes: list[Process] = installation.processes()
    with Load(producer, 300):
        for process in processes:
            if process.pid != installation.up_pid:
                command = [prlimit, "--pid", str(process.pid), "--nofile=8:8"]
                subprocess.run(command, check=False, capture_output=True)
        time.sleep(4)
    for process in processes:
        if process.pid != installation.up_pid:
            process.kill()
    installation.wait_until_ready()
    judge(installation, producer, at_least=1000)
