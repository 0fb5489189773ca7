"""Backup, restore and the move to a new host, typed as docs/operating.md says, with an agent that
lives elsewhere and goes on.

The new host is another home with other ports; the agent is told of it as by a changed
`ship.addresses`.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .oracle import Findings, compare_quarantine, judge
from .processes import COMMANDS, Installation, wait_for
from .producer import Load, Producer
from .test_disk_lost import judge as judge_restored
from .test_disk_lost import proof, settle

pytestmark = pytest.mark.long
NAME = "web-1"
BACKED_UP = ["keys", "pki", "digest", "quarantine", "trails", "channels"]


class FarAgent:
    """An agent on a host of its own, with a certificate that it was given once."""

    def __init__(self, directory: Path, aggregator: Installation, pattern: str) -> None:
        self.state = directory / "state"
        self.pattern = pattern
        self.config = directory / "agent.yaml"
        self.output = directory / "output"
        directory.mkdir()
        pki = aggregator.home / "pki"
        made = [sys.executable, "-m", "opentrail_aggregator.pki", str(pki), "--agent", NAME]
        subprocess.run([*made, "--", "127.0.0.1", "localhost"], check=True)
        for name in ("ca.crt", f"agent-{NAME}.crt", f"agent-{NAME}.key"):
            (directory / name).write_bytes((pki / name).read_bytes())
        self.write(aggregator.grpc)
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [str(COMMANDS / "opentrail-agent"), "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def write(self, address: str) -> None:
        at = self.config.parent
        tls = {"ca": "ca.crt", "certificate": f"agent-{NAME}.crt", "key": f"agent-{NAME}.key"}
        content = {
            "name": NAME,
            "state": str(self.state),
            "capture": {"watch": [{"path": self.pattern}]},
            "ship": {
                "addresses": [address],
                "backoff_max_seconds": "1s",
                "tls": {name: str(at / file) for name, file in tls.items()},
            },
        }
        self.config.write_text(yaml.safe_dump(content))

    def dial(self, address: str) -> None:
        """Tell it where the aggregator is now."""
        self.write(address)
        self.process.send_signal(signal.SIGHUP)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "status.json").read_bytes())
        return found

    def destroy(self) -> None:
        self.process.kill()
        self.process.wait()


class Hosts:
    """The host of before, the one of now, and the agent's."""

    def __init__(self, directory: Path) -> None:
        self.old = Installation(directory / "old")
        self.new = Installation(directory / "new")
        self.producer = Producer(directory / "source", 43)
        self.directory = directory
        self.agents: list[FarAgent] = []

    def begin(self) -> FarAgent:
        """The old aggregator, and an agent that has sent it everything there is."""
        self.old.start()
        self.agents = [FarAgent(self.directory / NAME, self.old, self.producer.pattern)]
        self.producer.write(2_000)
        self.old.wait_until_drained(self.producer.owed.lines)
        return self.agents[0]

    def destroy(self) -> None:
        for agent in self.agents:
            agent.destroy()
        self.old.destroy()
        self.new.destroy()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    each = Hosts(tmp_path)
    yield each
    each.destroy()


def tar(*arguments: str | Path, given: bytes | None = None) -> bytes:
    done = subprocess.run(
        ["tar", *map(str, arguments)], input=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_moved_to_a_new_host_it_is_the_same_log_and_agents_go_on(hosts: Hosts) -> None:
    agent = hosts.begin()
    old, new = hosts.old, hosts.new
    with Load(hosts.producer, 200):
        before = agent.status()
        old.stop()
        copied = tar("-C", old.home.parent, "-cf", "-", old.home.name)
        tar("-C", new.home.parent, "-xpf", "-", given=copied)
        new.start()
        agent.dial(new.grpc)
    judge(new, hosts.producer, at_least=2_000)
    after = agent.status()
    assert [after["spool"][name] for name in ("epoch", "epochs", "log")] == [
        before["spool"][name] for name in ("epoch", "epochs", "log")
    ], "the agent took it for another log"
    assert (
        after["figures"]["opentrail_agent_acknowledged_batches_total"]
        > before["figures"]["opentrail_agent_acknowledged_batches_total"]
    ), "vacuous: nothing was sent to the new host"
    new.run("digest", "now", "--wait", "60")
    assert proof(new) == []


def test_a_backup_that_was_made_while_it_ran_is_restored_beside_the_archive(hosts: Hosts) -> None:
    agent = hosts.begin()
    old, new, producer = hosts.old, hosts.new, hosts.producer
    assert producer.owed.refused, "vacuous: nothing is in quarantine"
    old.run("keys", "create", "auditor", "--note", "before-the-backup")
    old.run("digest", "now", "--wait", "60")
    backup = hosts.directory / "opentrail-home.tar.gz"
    with Load(producer, 100):
        there = [each for each in BACKED_UP if (old.home / each).exists()]
        assert {"keys", "pki", "digest", "quarantine"} <= set(there)
        tar("-C", old.home, "-czf", backup, *there)
    producer.write(300, plain=True)
    old.wait_until_drained(producer.owed.lines)
    old.destroy()  # With all that was only on its disk.
    wait_for("the old host is gone", lambda: not old.processes(), 10)

    new.home.mkdir()
    for each in ("archive", "archive-meta"):
        (old.home / each).rename(new.home / each)
    tar("-C", new.home, "-xzpf", backup)
    assert b"follows" in new.run("index", "rebuild", "--from", "archive").stdout
    new.start()
    agent.dial(new.grpc)
    producer.write(200, plain=True)
    settle(new, producer, set(producer.owed.kept))
    judge_restored(new, producer, set(producer.owed.kept))
    findings = Findings()
    # What the agent still held came again. What it had refused is known by its place.
    compare_quarantine(findings, producer.owed, new.quarantine_items(), repeats=True)
    assert not findings.problems, findings.problems
    assert new.status()["quarantined"] >= len(producer.owed.refused)
    assert b"before-the-backup" in new.run("keys", "list").stdout
    new.run("digest", "now", "--wait", "60")
    assert proof(new) == []
