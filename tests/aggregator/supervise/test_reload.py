"""SIGHUP at the aggregator: a right configuration is taken up whole, a wrong one not at all."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail.clock import SystemClock
from opentrail_aggregator.access.first_key import ensure_first_key
from opentrail_aggregator.home import Home
from opentrail_aggregator.pki import DevelopmentPki

pytestmark = [pytest.mark.slow, pytest.mark.long]
CLOCK = SystemClock()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Aggregator:
    """`opentrail-aggregator run` with a file that is changed under it."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory / "home")
        self.path = directory / "aggregator.yaml"
        self.output = directory / "output"
        self.http, self.grpc = free_port(), free_port()
        DevelopmentPki(self.home.pki, CLOCK).server(["127.0.0.1"])
        ensure_first_key(self.home.keys, CLOCK)
        self.write()
        with open(self.output, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "opentrail_aggregator", "run", "--config", str(self.path)],
                stdout=output, stderr=subprocess.STDOUT, env=os.environ,
            )  # fmt: skip

    def write(self, grants: str = '[{agent: "*"}]', more: str = "") -> None:
        self.path.write_text(
            f"home: {self.home.path}\nhttp: {{listen: '127.0.0.1:{self.http}'}}\n"
            f"grpc: {{listen: '127.0.0.1:{self.grpc}'}}\nidentity: {{grants: {grants}}}\n{more}"
        )

    def hang_up(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def destroy(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def get(self, path: str) -> bytes:
        pair = json.loads((self.home.keys / "local.json").read_bytes())
        text = f"{pair['access_key_id']}:{pair['secret_access_key']}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}")
        request.add_header("Authorization", f"Basic {base64.b64encode(text.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.read()
        except OSError:
            return b""

    def problem(self, key: str) -> str:
        try:
            told: dict[str, Any] = json.loads(self.get("/health/delivery") or b"{}")
        except ValueError:
            return ""
        return next((each["text"] for each in told.get("problems", []) if each["key"] == key), "")

    def metric(self, outcome: str) -> float:
        for line in self.get("/metrics").decode().splitlines():
            if line.startswith("opentrail_config_reloads_total") and f'"{outcome}"' in line:
                return float(line.split()[-1])
        return -1.0

    def pids(self) -> set[int]:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return {int(each) for each in children.split()}


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[Aggregator]:
    made = Aggregator(tmp_path)
    wait(lambda: made.get("/health/ready") == b"ready\n", 60, made)
    yield made
    made.destroy()


def wait(look: Callable[[], object], seconds: float, about: Aggregator) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until, about.output.read_text()[-3000:]
        time.sleep(0.1)


def test_a_reload_is_whole_or_not_at_all(aggregator: Aggregator) -> None:
    before = aggregator.pids()
    # Wrong: nothing changes, and the reason is in health, metric and log, with the place.
    aggregator.write(more="retention: {dayz: 3}\n")
    aggregator.hang_up()
    wait(lambda: "dayz" in aggregator.problem("config.reload"), 15, aggregator)
    assert f"{aggregator.path}:5" in aggregator.problem("config.reload")
    assert aggregator.metric("refused") == 1
    assert "dayz" in aggregator.output.read_text()
    assert aggregator.pids() == before
    # Other grants: ingest takes them up, no process ends; the reason above is gone.
    aggregator.write('[{agent: "web-*"}, {agent: "db-*"}]')
    aggregator.hang_up()
    wait(lambda: "2 are in force" in aggregator.output.read_text(), 15, aggregator)
    wait(lambda: aggregator.problem("config.reload") == "", 15, aggregator)
    assert aggregator.pids() == before
    # Another setting: all processes begin anew, under it.
    aggregator.write(more="retention: {days: 30}\n")
    aggregator.hang_up()
    wait(lambda: "all processes run under it" in aggregator.output.read_text(), 40, aggregator)
    assert not aggregator.pids() & before
    wait(lambda: aggregator.get("/health/ready") == b"ready\n", 30, aggregator)
    # One that looks right and cannot run: the one before comes back.
    now = aggregator.pids()
    foreign = socket.create_server(("127.0.0.1", 0))
    taken = aggregator.grpc
    aggregator.grpc = foreign.getsockname()[1]
    aggregator.write(more="log: {lock_wait: 1s}\n")
    aggregator.grpc = taken
    aggregator.hang_up()
    wait(lambda: "do not run" in aggregator.output.read_text(), 60, aggregator)
    wait(lambda: aggregator.get("/health/ready") == b"ready\n", 60, aggregator)
    assert "cannot be listened on" in aggregator.problem("config.reload")
    assert not aggregator.pids() & now
    foreign.close()


def test_a_reload_to_json_makes_every_later_line_an_object(aggregator: Aggregator) -> None:
    aggregator.write(more="logging: {format: json}\n")
    aggregator.hang_up()
    wait(lambda: "all processes run under it" in aggregator.output.read_text(), 40, aggregator)
    aggregator.hang_up()
    wait(lambda: "nothing had changed" in aggregator.output.read_text(), 15, aggregator)
    aggregator.destroy()
    lines = aggregator.output.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("{"))
    said = [json.loads(line) for line in lines[first:]]
    assert [each["message"] for each in said if each["role"] == "supervisor"][-1] == "stopping"
    assert all(each["time"].endswith("Z") and each["level"] and each["logger"] for each in said)
