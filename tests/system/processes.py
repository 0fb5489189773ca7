"""One installation in a folder of its own: started, watched, killed and asked, as a person would.

Every process it starts carries a mark in its environment, so that all of them are found in /proc,
also those whose parent is gone.
"""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")

COMMANDS = Path(sys.executable).parent
MARK = "OPENTRAIL_SYSTEM_TEST"
# Parts are cut soon after they come to rest, so that the archive can be judged within seconds.
QUICK = {"OPENTRAIL_ARCHIVE_SETTLE": "1s", "OPENTRAIL_ARCHIVE_SETTLE_MAX": "4s"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(
    what: str, look: Callable[[], Found | None], seconds: float, every: float = 0.1
) -> Found:
    """Ask until there is an answer; a test that waits in vain says for what."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(every)


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    command: str

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Installation:
    """`opentrail up` with its home, its ports and the files it follows."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.output = directory.with_name(directory.name + ".log")
        self._mark = uuid.uuid4().hex
        self._http, self._grpc = free_port(), free_port()
        self._up: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self._grpc}"

    # Start and stop

    def start(
        self, *watch: str, environment: dict[str, str] | None = None, wait: bool = True,
        prefix: tuple[str, ...] = (), sample: str | None = None, archive: str | None = None,
    ) -> None:  # fmt: skip
        """Start it in the background; with `wait`, return when it answers."""
        command = [
            *prefix, str(COMMANDS / "opentrail"), "up", "--home", str(self.home),
            "--http", f"127.0.0.1:{self._http}", "--grpc", f"127.0.0.1:{self._grpc}",
        ]  # fmt: skip
        for pattern in watch:
            command += ["--watch", pattern]
        if sample is not None:
            command += ["--sample", sample]
        if archive is not None:
            command += ["--archive", archive]
        if self._up is not None:
            self._up.wait(10)  # It was killed or stopped; nothing is left of it.
        self._seen = set()
        with open(self.output, "ab") as output:
            self._up = subprocess.Popen(
                command,
                env=os.environ | QUICK | {MARK: self._mark} | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 30) -> None:
        wait_for(f"{self.url} is ready; see {self.output}", self.is_ready, seconds)

    def is_ready(self) -> bool:
        if self._up is not None and self._up.poll() is not None:
            raise AssertionError(
                f"`opentrail up` ended with exit code {self._up.returncode}:\n{self.last_words()}"
            )
        return self.get("/health/ready")[0] == 200

    def stop(self, seconds: float = 10) -> float:
        """SIGTERM, as a person's Ctrl-C; how long it took to end."""
        assert self._up is not None
        started = time.monotonic()
        self._up.send_signal(signal.SIGTERM)
        try:
            self._up.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {seconds:g} s after SIGTERM") from None
        took = time.monotonic() - started
        wait_for("no process outlives its parent by more than 1 s", self._nothing_runs, 1.5, 0.02)
        return took

    def _nothing_runs(self) -> bool:
        return not self.processes()

    def destroy(self) -> None:
        """End everything without manners, at the end of a test."""
        for process in self.processes():
            process.kill(signal.SIGCONT)
            process.kill()
        if self._up is not None:
            self._up.kill()
            self._up.wait()

    @property
    def up_pid(self) -> int:
        assert self._up is not None
        return self._up.pid

    @property
    def up(self) -> Process:
        return next(each for each in self.processes() if each.pid == self.up_pid)

    @property
    def is_up(self) -> bool:
        return self._up is not None and self._up.poll() is None

    def processes(self) -> list[Process]:
        """All that was started from here and runs, whoever its parent is now."""
        found = []
        wanted = f"{MARK}={self._mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if fields[0] not in "ZX":
                found.append(Process(int(entry.name), int(fields[1]), command))
        return sorted(found, key=lambda each: each.pid)

    def find(self, role: str) -> Process:
        """The process of an aggregator's role, or `agent`, or `supervisor`."""
        pattern = {"agent": r"opentrail[-_]agent", "supervisor": r"opentrail[-_]aggregator run"}
        wanted = pattern.get(role, rf" role (\S+\+)?{role}\b")
        found = [
            each for each in self.processes()
            if each.pid != self.up_pid and re.search(wanted, each.command)
        ]  # fmt: skip
        assert found, f"no process for {role}: {[each.command for each in self.processes()]}"
        return found[-1]

    def deaths(self) -> int:
        """How many processes this one has seen in place of another, since it was started."""
        now = {each.pid for each in self.processes()}
        self._seen |= now
        return len(self._seen) - len(now)

    def last_words(self, lines: int = 30) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])

    # Questions

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """One `opentrail` command, running beside the test."""
        return subprocess.Popen(
            [str(COMMANDS / "opentrail"), *arguments], env=self._environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "OPENTRAIL_HOME": str(self.home), "OPENTRAIL_URL": self.url, MARK: self._mark,
        }  # fmt: skip

    def run(
        self, *arguments: str, check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """One `opentrail` command against this installation."""
        done = subprocess.run(
            [str(COMMANDS / "opentrail"), *arguments], env=self._environment(),
            capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(
                f"`opentrail {' '.join(arguments)}` ended with exit code {done.returncode}: "
                f"{done.stderr.decode(errors='replace')[-2000:]}"
            )
        return done

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of one HTTP answer; 0 when there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self._http), timeout=5) as connection:
                lines = {"Host": "localhost", "Connection": "close", **self.authorization()}
                request = f"GET {path} HTTP/1.1\r\n" + "".join(
                    f"{name}: {value}\r\n" for name, value in lines.items()
                )
                connection.sendall(f"{request}\r\n".encode())
                answer = b""
                while piece := connection.recv(1 << 16):
                    answer += piece
        except OSError:
            return 0, b""
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]) if head.count(b" ") else 0), body

    def authorization(self) -> dict[str, str]:
        """A header with the home's first key; none before there is one."""
        try:
            key = json.loads((self.home / "keys" / "local.json").read_bytes())
        except FileNotFoundError:
            return {}
        pair = f"{key['access_key_id']}:{key['secret_access_key']}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def status(self, *, recount: bool = False, check: bool = True) -> dict[str, Any]:
        arguments = ["status", "--output", "json", *(["--recount"] if recount else [])]
        found: dict[str, Any] = json.loads(self.run(*arguments, check=check).stdout)
        return found

    def lookup(self, query: str, *options: str) -> list[bytes]:
        done = self.run("lookup", query, "--output", "jsonl", *options)
        return done.stdout.splitlines()

    def lookup_everything(self) -> list[bytes]:
        return self.lookup("*", "--limit", "100000000")

    def quarantine_items(self) -> list[dict[str, Any]]:
        """Every item, with its bytes as bytes."""
        done = self.run("quarantine", "list", "--output", "jsonl", "--limit", "100000000")
        items = [json.loads(line) for line in done.stdout.splitlines()]
        return [each | {"bytes": base64.b64decode(each["bytes"])} for each in items]

    def wait_until_drained(self, received: int, seconds: float = 120) -> None:
        """Wait until `received` lines are in, indexed and archived.

        Events about the test's own questions come on top; they are of this hour, so they wait in
        the archive for its end.
        """
        seen: dict[str, Any] = {}

        def drained() -> bool:
            done = self.run("status", "--output", "json", check=False)
            with contextlib.suppress(ValueError):
                seen.clear()
                seen.update(json.loads(done.stdout))
            pending, own = dict(seen.get("pending", {"": 1})), seen.get("own_events", 0)
            waiting = pending.pop("archive", 0)
            is_in = seen.get("received", 0) - own >= received
            return bool(is_in and waiting <= own and not any(pending.values()))

        try:
            wait_for("drained", drained, seconds, 0.3)
        except AssertionError:
            figures = ("received", "own_events", "duplicates", "quarantined", "indexed",
                       "archived", "pending")  # fmt: skip
            raise AssertionError(
                f"{received} lines written, not all in their stores after {seconds:g} s: "
                f"{ {name: seen.get(name) for name in figures} }\n{self.last_words()}"
            ) from None

    def wait_until_found(self, claim: str, seconds: float = 30) -> None:
        query = f"requestParameters.claim:{claim}"
        wait_for(f"lookup finds {claim}", lambda: self.run("lookup", query, "--output", "jsonl",
                 check=False).stdout, seconds)  # fmt: skip
