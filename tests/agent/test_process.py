"""The agent as a process: started, killed at every step, stopped, watched, and its tools.

The aggregator is a fake in this test; everything else is real.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from opentrail.batch import batch_events, batch_refused, batch_sources
from opentrail.clock import SystemClock
from opentrail.errors import LockedError
from opentrail_agent.app import open_spool
from opentrail_agent.metrics import Metrics
from opentrail_agent.spool.settings import SpoolSettings
from tests.fakes.aggregator import Code, FakeAggregator


class Host:
    """A machine with an agent on it."""

    def __init__(self, home: Path, address: str) -> None:
        self.home = home
        self.source = home / "audit.json"
        self.config = home / "agent.yaml"
        self.state = home / "state"
        self.lines: list[bytes] = []
        self.configure(address)

    def configure(self, *addresses: str) -> None:
        content = {
            "name": "host-1",
            "state": str(self.state),
            "account": "111122223333",
            "region": "eu-west-1",
            "capture": {"watch": [{"path": str(self.home / "audit*.json")}], "linger": "20ms"},
            "spool": {"reserve_bytes": "1MB"},
            "ship": {
                "addresses": list(addresses),
                "allow_plaintext": True,
                "backoff_initial_seconds": "20ms",
                "backoff_max_seconds": "200ms",
            },
        }
        self.config.write_text(yaml.safe_dump(content))

    def write(self, count: int) -> None:
        with self.source.open("ab") as file:
            for _ in range(count):
                line = b'{"eventTime":"2026-11-24T10:00:00Z","eventID":"id-%d"}' % len(self.lines)
                self.lines.append(line)
                file.write(line + b"\n")

    def spooled(self) -> int:
        """The last number in the spool, by the agent's own status."""
        path = self.state / "status.json"
        if not path.exists():
            return 0
        return int(json.loads(path.read_text())["spool"]["last_sequence"])

    async def start(
        self, *arguments: str, stdin: int | None = None, environment: dict[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        command, *rest = arguments or ("run",)
        words = [command, *rest]
        config = ["--config", str(self.config)]
        words[1:1] = [words.pop(1), *config] if command == "spool" else config
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "opentrail_agent",
            *words,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )

    async def run(
        self, *arguments: str, seconds: float = 20, **environment: str
    ) -> tuple[int, str, str]:
        process = await self.start(*arguments, environment=environment)
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


def events(server: FakeAggregator) -> list[bytes]:
    return [line for payload in server.log for line in batch_events(payload).splitlines()]


def is_alive(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # Empty for a zombie.
    except (FileNotFoundError, ProcessLookupError):
        return False


async def stop(process: asyncio.subprocess.Process, seconds: float = 10) -> tuple[int, str]:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(seconds):
        _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, err.decode()


@pytest.fixture
async def aggregator() -> AsyncIterator[FakeAggregator]:
    async with FakeAggregator() as server:
        yield server


@pytest.fixture
def host(tmp_path: Path, aggregator: FakeAggregator) -> Host:
    return Host(tmp_path, aggregator.address)


@pytest.mark.slow
async def test_what_is_written_to_a_file_arrives(host: Host, aggregator: FakeAggregator) -> None:
    process = await host.start()
    host.write(1000)
    await aggregator.until(lambda: len(events(aggregator)) >= 1000)
    code, err = await stop(process)
    assert (code, events(aggregator)) == (0, host.lines)
    assert "eventID" not in err


@pytest.mark.slow
async def test_its_json_lines_are_objects_that_name_it_and_hold_nothing_of_an_event(
    host: Host, aggregator: FakeAggregator
) -> None:
    host.source.write_bytes(b'{"eventTime":"2026-11-24T10:00:00Z","eventID":"a-secret"}\n')
    environment = {"OPENTRAIL_LOGGING_FORMAT": "json", "OPENTRAIL_LOGGING_LEVEL": "debug"}
    process = await host.start(environment=environment)
    await aggregator.until(lambda: len(events(aggregator)) >= 1)
    code, err = await stop(process)
    said = [json.loads(line) for line in err.splitlines()]
    assert (code, "a-secret" in err) == (0, False)
    assert {(each["role"], each["agent"]) for each in said} == {("agent", "host-1")}
    assert said[-1]["message"] == "stopped; the next start goes on from here"
    assert any(": connected, " in each["message"] for each in said)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        "agent.read", "agent.sealed", "agent.spool.appended", "agent.spool.synced", "agent.spooled",
        "agent.positions", "agent.ship.bound", "agent.ship.sent", "agent.ship.acknowledged",
        "agent.spool.standing_written", "agent.spool.dropped",
    ],
)  # fmt: skip
async def test_killed_at_any_step_nothing_is_lost(
    host: Host, aggregator: FakeAggregator, point: str
) -> None:
    host.write(50)
    for kill in range(1, 3):
        code, _, err = await host.run(OPENTRAIL_CRASH_AT=f"{point}:1")
        assert code == -signal.SIGKILL, f"{point} was not passed: {err}"
        host.write(20 * kill)
        aggregator.log_id = "log-1" if point != "agent.ship.bound" else f"log-{kill}"
        if point == "agent.ship.bound":
            break  # Bound once, it is not bound again.
    process = await host.start()
    await aggregator.until(lambda: set(host.lines) <= set(events(aggregator)))
    assert (await stop(process))[0] == 0
    assert set(events(aggregator)) == set(host.lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["agent.ship.forked", "agent.spool.epoch", "agent.spool.epoch_written"]
)
async def test_killed_while_it_numbers_anew_nothing_is_lost(
    host: Host, aggregator: FakeAggregator, point: str
) -> None:
    host.write(50)
    process = await host.start()
    await aggregator.until(lambda: len(events(aggregator)) >= 50)
    await stop(process)
    epoch = aggregator.seen.hellos[-1].epoch
    following = max(sequence for _, sequence, _ in aggregator.seen.batches) + 1
    aggregator.hold(epoch, following, b"what a clone wrote")
    host.write(50)
    code, _, err = await host.run(OPENTRAIL_CRASH_AT=point)
    assert code == -signal.SIGKILL, err
    process = await host.start()
    await aggregator.until(lambda: set(host.lines) <= set(events(aggregator)))
    await stop(process)
    assert aggregator.seen.hellos[-1].epoch != epoch


@pytest.mark.slow
async def test_killed_when_it_has_set_a_batch_aside_it_sends_the_same_marker_and_goes_on(
    host: Host, aggregator: FakeAggregator
) -> None:
    aggregator.never_takes = lambda payload: Code.MALFORMED if batch_events(payload) else None
    host.write(20)
    code, _, err = await host.run(OPENTRAIL_CRASH_AT="agent.ship.set_aside")
    assert code == -signal.SIGKILL, err
    assert aggregator.log == []
    process = await host.start()
    await aggregator.until(lambda: len(aggregator.log) == 1)
    aggregator.never_takes = lambda _: None
    host.write(20)
    await aggregator.until(lambda: len(events(aggregator)) == 20)
    _, status, _ = await host.run("spool", "status")
    assert "set aside" in status
    assert "MALFORMED" in status
    await stop(process)
    (item,) = batch_refused(aggregator.log[0])
    assert item.reason == "set_aside"
    (kept,) = (host.state / "spool" / "set-aside").iterdir()
    payload = kept.read_bytes().partition(b"\n")[2]
    assert item.sha256 == hashlib.sha256(payload).hexdigest()
    # All that was written is either in the log or in what was set aside.
    assert [*batch_events(payload).splitlines(), *events(aggregator)] == host.lines


@pytest.mark.slow
async def test_a_stop_is_quick_whatever_the_aggregator_does(
    host: Host, aggregator: FakeAggregator
) -> None:
    aggregator.is_silent = True
    host.write(100)
    process = await host.start()
    await aggregator.until(lambda: len(aggregator.seen.hellos) >= 1)
    assert (await stop(process, seconds=5))[0] == 0


@pytest.mark.slow
async def test_an_agent_ends_with_its_parent(host: Host) -> None:
    program = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'opentrail_agent', 'run', "
        f"'--config', {str(host.config)!r}, '--with-parent'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    async with asyncio.timeout(10):
        while not (host.state / "status.json").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(1):
        while is_alive(child):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class HurriedClock(SystemClock):
    """Waiting takes no time, but counts."""

    passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


async def test_two_agents_never_share_a_spool(tmp_path: Path) -> None:
    metrics, settings = Metrics(SystemClock()), SpoolSettings()
    async with open_spool(settings, tmp_path, SystemClock(), metrics):
        with pytest.raises(LockedError, match=f"living process {os.getpid()}.*waited 10 s"):
            async with open_spool(settings, tmp_path, HurriedClock(), metrics):
                pytest.fail("two owners")
    async with open_spool(settings, tmp_path, SystemClock(), metrics):
        pass


@pytest.mark.slow
async def test_an_import_sends_everything_and_says_that_it_ended(
    host: Host, aggregator: FakeAggregator, tmp_path: Path
) -> None:
    file = tmp_path / "old.json"
    lines = [b'{"eventTime":"2026-01-01T00:00:00Z","eventID":"%d"}' % n for n in range(5000)]
    file.write_bytes(b"\n".join(lines))
    code, out, err = await host.run("import", str(file), "--state", str(tmp_path / "import"))
    assert (code, out) == (0, "1 files, 5000 events\n"), err
    assert events(aggregator) == lines
    assert "all is stored" in err
    source = aggregator.seen.heartbeats[-1].sources[0]
    assert (source.kind, source.ended) == ("import", True)
    # Nothing is claimed about the files that an agent of the same name follows.
    assert {beat.reported_at_ns for beat in aggregator.seen.heartbeats} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("redact", ["auto", "on"])
async def test_an_import_of_cloudtrail_records_hides_secrets_if_it_is_asked_to(
    host: Host, aggregator: FakeAggregator, tmp_path: Path, redact: str
) -> None:
    # What CloudTrail wrote is evidence as it is; only `on` changes it, and then nothing else in it.
    start = b'{"eventTime":"2026-01-01T00:00:00Z","eventID":"1","eventSource":"iam.amazonaws.com",'
    line = start + b'"requestParameters":{"userName":"a","password":"hunter2"}}'
    file = tmp_path / "old.json"
    file.write_bytes(b'{"Records":[' + line + b"]}")
    code, out, err = await host.run("import", str(file), "--redact", redact)
    assert (code, out) == (0, "1 files, 1 events\n"), err
    hidden = line.replace(b"hunter2", b"HIDDEN_DUE_TO_SECURITY_REASONS")
    assert events(aggregator) == [hidden if redact == "on" else line]
    assert "hunter2" not in err


@pytest.mark.slow
async def test_an_import_goes_on_where_it_was_interrupted(
    host: Host, aggregator: FakeAggregator, tmp_path: Path
) -> None:
    file = tmp_path / "old.json"
    line = b'{"eventTime":"2026-01-01T00:00:00Z","eventID":"%d","x":"%s"}'
    lines = [line % (n, os.urandom(400).hex().encode()) for n in range(6000)]
    file.write_bytes(b"\n".join(lines))
    aggregator.delay_seconds = 0.3
    process = await host.start("import", str(file))
    await aggregator.until(lambda: len(aggregator.log) >= 2)
    code, err = await stop(process)
    assert code == 1
    assert "give the same command again" in err
    aggregator.delay_seconds = 0
    code, _, err = await host.run("import", str(file))
    assert code == 0, err
    assert sorted(set(events(aggregator))) == sorted(lines)


@pytest.mark.slow
async def test_a_pipe_sends_its_input_and_ends(host: Host, aggregator: FakeAggregator) -> None:
    process = await host.start("pipe", "--name", "backfill", stdin=asyncio.subprocess.PIPE)
    text = b'{"eventTime":"2026-01-01T00:00:00Z","eventID":"p"}\n' * 3
    async with asyncio.timeout(15):
        _, err = await process.communicate(text)
    assert process.returncode == 0, err
    assert events(aggregator) == text.splitlines()
    assert batch_sources(aggregator.log[0])[0].source == "pipe:backfill"
    assert b"doubles" in err


@pytest.mark.slow
async def test_the_spool_can_be_looked_into_and_given_to_another_log(
    host: Host, aggregator: FakeAggregator
) -> None:
    host.write(30)
    process = await host.start()
    await aggregator.until(lambda: len(events(aggregator)) >= 30)
    await stop(process)
    async with FakeAggregator("log-2") as other:
        async with FakeAggregator() as gone:
            pass
        host.configure(gone.address)
        process = await host.start()
        host.write(20)
        status = host.state / "status.json"
        async with asyncio.timeout(10):
            while True:
                if (
                    status.exists()
                    and json.loads(status.read_text())["spool"]["last_sequence"] >= 2
                ):
                    break
                await asyncio.sleep(0.05)
        await stop(process)
        code, out, _ = await host.run("spool", "status", "--output", "json")
        row = json.loads(out)["spool"]
        assert (code, row["log"], row["waiting"]) == (0, "log-1", 1)
        code, out, _ = await host.run("spool", "dump", "--events")
        assert out.encode().splitlines() == host.lines[30:]
        code, out, _ = await host.run("spool", "dump")
        assert "20 events" in out
        code, out, _ = await host.run("spool", "check")
        assert (code, "0 batches cannot be read" in out) == (0, True)
        host.configure(other.address)
        code, out, _ = await host.run("spool", "rehome")
        assert (code, "1 batches that waited for the log log-1" in out) == (0, True)
        process = await host.start()
        await other.until(lambda: len(events(other)) >= 20)
        await stop(process)
        assert events(other) == host.lines[30:]


@pytest.mark.slow
async def test_a_damaged_spool_is_told_by_check_with_file_and_byte(
    host: Host, aggregator: FakeAggregator
) -> None:
    aggregator.is_silent = True
    process = await host.start()
    async with asyncio.timeout(10):
        for number in (1, 2):
            host.write(30)
            while host.spooled() < number:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    await stop(process)
    path = next((host.state / "spool" / "segments").glob("*.seg"))
    content = bytearray(path.read_bytes())
    content[content.index(b"OTB1") + 60] ^= 4
    path.write_bytes(content)
    code, out, _ = await host.run("spool", "check")
    assert code == 1
    assert f"{path}: byte " in out
    path.write_bytes(content[:-10])
    code, out, _ = await host.run("spool", "check")
    assert (code, "torn" in out) == (1, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shipp: {}", 'agent.yaml:1:1: unknown key "shipp"; did you mean "ship"?'),
        ("ship: {allow_plaintext: true, window: 0}", "ship: window: 0 is not between 1 and 64"),
        ("ship: {addresses: [nowhere]}", "'nowhere' is not HOST:PORT"),
        ("spool: {max_bytes: 1MB}\nship: {allow_plaintext: true}", "less than two segments"),
        ("ship: {tls: {ca: a.pem}}", "ca, certificate and key belong together"),
    ],
)
async def test_a_wrong_configuration_ends_with_78_and_its_place(
    host: Host, text: str, said: str
) -> None:
    host.config.write_text(text)
    code, _, err = await host.run("validate")
    assert code == 78
    assert said in err


async def test_a_wrong_usage_ends_with_2(host: Host) -> None:
    assert (await host.run("no-such-command"))[0] == 2
    assert (await host.run("import", "/no/such/file"))[0] == 2
