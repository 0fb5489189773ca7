"""`opentrail verify` with several readers says what one says, in the same order, and stops at once.

Readers are forked, so each test is about a process of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.aggregator.archive.rig import event
from tests.aggregator.digest.rig import HOUR, DigestRig
from tests.system.processes import COMMANDS

pytestmark = pytest.mark.long
SECONDS = 20
VERIFY = """
import json, os, signal, sys
from opentrail.clock import SystemClock
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.archive.readers import reading
from opentrail_aggregator.digest.keys import FileKeys
from opentrail_aggregator.digest.verify import verify
from opentrail_aggregator.home import Home
from pathlib import Path
home = Home(Path(sys.argv[1]))
destination = LocalDirectory(home, "opentrail")
keys = FileKeys(home.keys / "digest")
with reading(destination, int(sys.argv[2])) as contents:
    if sys.argv[3] == "kill":
        os.kill(contents._readers[0].pid, signal.SIGKILL)
    report = verify(home, destination, keys, SystemClock(), contents=contents)
print(json.dumps([report.log_files, report.problems]))
"""


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third log file is missing, cut, or of other content."""
    rig = DigestRig(tmp_path_factory.mktemp("spoiled"))
    rig.grant_all()
    for _ in range(3):
        now = rig.clock.now_ns() // 10**9
        rig.log.send([event(n, now - n * HOUR) for n in range(25)])
        rig.pass_time(HOUR, step=600)
    rig.pass_time(HOUR)
    rig.role.close()
    keys = rig.object_keys()
    assert len(keys) > 60  # More than the readers are given at first.
    for number, key in enumerate(keys[::3]):
        path = rig.home.archive / "opentrail" / key
        stored = path.read_bytes()
        path.unlink()
        if number % 3:
            path.write_bytes(stored[:-1] if number % 3 == 1 else stored + stored)
    return rig.home.path


def run(home: Path, readers: int, act: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", VERIFY, str(home), str(readers), act]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS,
        check=False,
    )  # fmt: skip


def test_three_readers_say_what_one_says_in_its_order(spoiled: Path) -> None:
    one, three = run(spoiled, 1), run(spoiled, 3)
    assert one.returncode == 0, one.stderr
    files, problems = json.loads(one.stdout)
    assert files > 40
    assert len(problems) > 20
    assert three.stdout == one.stdout, three.stderr


def test_a_reader_that_is_killed_is_no_finding(spoiled: Path) -> None:
    done = run(spoiled, 2, "kill")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "ReaderEndedError: process " in done.stderr


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: no readers")
def test_ctrl_c_ends_it_and_its_readers_at_once(spoiled: Path) -> None:
    digested = next((spoiled / "archive" / "opentrail").rglob("*_CloudTrail_*.gz"))
    stored = digested.read_bytes()
    digested.unlink()
    os.mkfifo(digested)  # Whoever opens it to read waits for ever.
    process = subprocess.Popen(
        [str(COMMANDS / "opentrail"), "verify", "--home", str(spoiled)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until = time.monotonic() + SECONDS
        while len(readers := children.read_text().split()) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, f"readers {readers}"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=SECONDS)
        assert (process.returncode, out, error) == (130, b"", b"")
        assert not [each for each in readers if Path(f"/proc/{each}").exists()]
    finally:
        process.kill()
        process.wait()
        digested.unlink()
        digested.write_bytes(stored)
