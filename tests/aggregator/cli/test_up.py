"""`opentrail up`, whole: real processes, a real agent, the sample; ended, killed, started again."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aggregator.api.serving import header_of

COMMAND = Path(sys.executable).with_name("opentrail")
MARK = "OPENTRAIL_TEST_UP"
START_SECONDS = 60.0

pytestmark = pytest.mark.slow


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(what: str, done: Callable[[], bool], seconds: float = START_SECONDS) -> float:
    started = time.monotonic()
    while not done():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


class Up:
    """One home, and the process that runs in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home.parent / "up.log"
        self._ports = (_free_port(), _free_port())
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        web, grpc = self._ports
        command = [
            *(str(COMMAND), "up", "--home", str(self.home)),
            *("--http", f"127.0.0.1:{web}", "--grpc", f"127.0.0.1:{grpc}", *options),
        ]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, MARK: str(self.home)}
            )

    def ask(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(COMMAND), *arguments, "--home", str(self.home)], capture_output=True, text=True
        )
        return done.returncode, done.stdout

    def found(self) -> int:
        # Each question is an event too; what the sample wrote is what is waited for.
        code, out = self.ask("count", "NOT eventSource:cloudtrail.amazonaws.com")
        return int(out) if code == 0 else 0

    def found_ids(self) -> list[str]:
        _, out = self.ask("lookup", "*", "--limit", "1000000", "--output", "jsonl")
        return [json.loads(line)["eventID"] for line in out.splitlines()]

    def written(self) -> set[str]:
        """The ids of all whole lines in the sample's file."""
        content = (self.home / "sample" / "cloudtrail.ndjson").read_bytes()
        return {json.loads(line)["eventID"] for line in content.split(b"\n")[:-1]}

    def status(self) -> dict[str, Any]:
        code, out = self.ask("status", "--output", "json")
        assert code == 0, out
        found: dict[str, Any] = json.loads(out)
        return found

    def health(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[0], timeout=5)
        try:
            connection.request("GET", path, headers=self.authorization())
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def authorization(self) -> dict[str, str]:
        key = json.loads((self.home / "keys" / "local.json").read_bytes())
        return header_of(key["access_key_id"], key["secret_access_key"])

    def living(self) -> list[int]:
        wanted = f"{MARK}={self.home}".encode()
        living = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                        continue
                    if (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                        living.append(int(entry.name))
                except OSError:
                    continue
        return living

    def child(self, text: str) -> int:
        for pid in self.living():
            if text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "):
                return pid
        raise AssertionError(f"no process {text!r}")

    def stop(self) -> float:
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0, self.log.read_text()[-2000:]
        return time.monotonic() - started

    def destroy(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _until("all gone", lambda: not self.living(), 5.0)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    each = Up(tmp_path / "home")
    yield each
    each.destroy()


def test_events_are_found_and_the_next_start_goes_on(up: Up) -> None:
    up.start("--sample", "50")
    _until("events are found", lambda: up.found() > 100)
    assert up.stop() < 10.0
    _until("nothing outlives it", lambda: not up.living(), 1.0)

    up.start("--sample", "50")
    _until("what was there is found again", lambda: up.found() > 100)
    before = up.found()
    _until("new events are found", lambda: up.found() > before)
    status = up.status()
    assert status["sums_agree"], status["wrong"]
    assert status["received"] >= before
    assert status["duplicates"] == 0
    assert len({agent["name"] for agent in status["agents"]}) == 1
    assert up.stop() < 10.0


def test_kill_9_of_the_uppermost_ends_everything_within_a_second(up: Up) -> None:
    up.start("--sample", "5")
    _until("it answers", lambda: up.ask("status")[0] == 0)
    assert up.process is not None
    up.process.kill()
    _until("nothing outlives it", lambda: not up.living(), 1.0)


@pytest.mark.parametrize("victim", ["opentrail_aggregator run", "role ingest", "opentrail_agent"])
def test_a_killed_process_comes_back_and_nothing_is_lost_or_doubled(up: Up, victim: str) -> None:
    up.start("--sample", "50")
    _until("events are found", lambda: up.found() > 50)
    os.kill(up.child(victim), signal.SIGKILL)
    before = up.found()
    _until("new events are found", lambda: up.found() > before + 50)
    owed = up.written()
    _until("every line that was written is found", lambda: owed <= set(up.found_ids()))
    found = up.found_ids()
    assert len(found) == len(set(found))
    status = up.status()
    assert status["sums_agree"], status["wrong"]
    assert status["quarantined"] == 0
    assert "killed by SIGKILL" in up.log.read_text()


@pytest.mark.parametrize(
    ("victim", "path"), [("role index", "/health/delivery"), ("role ingest", "/health/ready")]
)
def test_health_tells_of_a_hanging_process_and_of_its_return(
    up: Up, victim: str, path: str
) -> None:
    up.start("--sample", "5")
    _until("it is well", lambda: up.health("/health/ready") and up.health("/health/delivery"))
    pid = up.child(victim)
    os.kill(pid, signal.SIGSTOP)
    _until(f"{path} tells of it", lambda: not up.health(path), 15.0)
    os.kill(pid, signal.SIGCONT)
    _until(f"{path} tells that it is over", lambda: up.health(path), 15.0)


def test_a_second_one_in_the_same_home_is_refused_by_name(up: Up) -> None:
    up.start("--sample", "5")
    _until("it answers", lambda: up.ask("status")[0] == 0)
    assert up.process is not None
    second = subprocess.run(
        [str(COMMAND), "up", "--home", str(up.home)], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 1
    assert f"living process {up.process.pid}" in second.stderr
