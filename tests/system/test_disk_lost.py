"""The aggregator's disk is gone, the archive is not: one command, and the history goes on.

Everything is killed, the home is deleted but for the archive, the certificates and the agent (which
would be on another host), and one command makes it again.
"""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from .archive import read_archive
from .oracle import Findings, compare, compare_places, equations, without_own
from .processes import Installation, wait_for
from .producer import Load, Producer, claim_of

pytestmark = pytest.mark.long

NOT_ON_THAT_DISK = {"pki", "archive", "archive-meta", "agent", "keys"}
"""The keys come from a backup, as the documentation asks for: they are not made twice."""


def lose_the_disk(installation: Installation) -> None:
    """Kill all at once and delete what was on the disk."""
    processes = installation.processes()
    for process in processes:
        process.kill(signal.SIGSTOP)  # None of them sees another one die.
    for process in processes:
        process.kill()
    wait_for("all are dead", lambda: not installation.processes(), 10)
    for entry in installation.home.iterdir():
        if entry.name in NOT_ON_THAT_DISK:
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def rebuild(installation: Installation) -> str:
    """The one command; what it said."""
    done = installation.run("index", "rebuild", "--from", "archive")
    return done.stdout.decode()


def proof(installation: Installation) -> list[str]:
    """What `opentrail verify` finds wrong."""
    found = json.loads(installation.run("verify", "--output", "json", check=False).stdout)
    problems: list[str] = found["problems"]
    return problems


def claims(found: list[bytes]) -> set[str]:
    return {claim_of(line) or "" for line in found}


def settle(installation: Installation, producer: Producer, wanted: set[str]) -> None:
    """Wait until index and archive hold what is wanted of the events."""

    def holds_all() -> bool:
        done = installation.run("lookup", "*", "--output", "jsonl", "--limit", "100000000",
                                check=False)  # fmt: skip
        archived = claims([each.line for each in read_archive(installation.home).records])
        return wanted <= claims(done.stdout.splitlines()) and wanted <= archived

    wait_for("index and archive hold all that is wanted", holds_all, 90, 1)


def judge(installation: Installation, producer: Producer, owed: set[str]) -> None:
    """Nothing that is owed is missing, nothing is there twice or changed, and the sums hold."""
    findings = Findings()
    archive = read_archive(installation.home)
    found = without_own(findings, "index", installation.lookup_everything())
    archived = without_own(findings, "archive", [each.line for each in archive.records])
    kept = producer.owed.kept
    there = {claim: kept[claim] for claim in kept if claim in owed or claim in claims(found)}
    compare(findings, "index", there, found)
    compare(findings, "archive", there, archived)
    compare_places(findings, there, archive)
    status = installation.status(recount=True, check=False)
    findings.add("equation", equations(status))
    findings.add("status", status["wrong"])
    assert not findings.problems, "\n".join(["the oracle found:", *findings.problems])


def test_a_lost_disk_comes_back_from_the_archive_and_nothing_of_it_is_missing_or_doubled(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 41)
    producer.write(3_000, plain=True)
    installation.start(producer.pattern)
    installation.wait_until_drained(producer.owed.lines)
    before = set(producer.owed.kept)
    lose_the_disk(installation)

    # Nobody begins a second history by mistake: the start says what to do.
    installation.start(producer.pattern, wait=False)
    wait_for("the start is refused", lambda: not installation.is_up, 20)
    assert "opentrail-aggregator rebuild" in installation.last_words()
    wait_for("all have ended", lambda: not installation.processes(), 10)

    said = rebuild(installation)
    assert "follows" in said
    assert "everything that arrived until" in said
    # And only once: a log that is there is never replaced.
    again = installation.run("index", "rebuild", "--from", "archive", check=False)
    assert again.returncode == 0, "with a log it is the usual rebuild of the index"

    installation.start(producer.pattern)
    producer.write(500, plain=True)
    settle(installation, producer, set(producer.owed.kept))
    judge(installation, producer, before)
    status = installation.status()
    assert status["received"] >= len(producer.owed.kept)
    assert proof(installation) == []
    # It is a home like any other: it survives a stop, and the same thing happening again.
    installation.run("digest", "now", "--wait", "60")
    assert proof(installation) == []
    installation.stop()
    installation.start(producer.pattern)
    installation.wait_until_drained(len(producer.owed.kept))
    lose_the_disk(installation)
    rebuild(installation)
    installation.start(producer.pattern)
    producer.write(200, plain=True)
    settle(installation, producer, set(producer.owed.kept))
    judge(installation, producer, set(producer.owed.kept))
    installation.run("digest", "now", "--wait", "60")
    assert proof(installation) == []


def test_with_release_archived_a_lost_disk_loses_nothing_at_all(
    installation: Installation, tmp_path: Path
) -> None:
    environment = {
        "OPENTRAIL_SHIP_RELEASE": "archived", "OPENTRAIL_SHIP_HEARTBEAT_SECONDS": "1s",
        # Long enough that much is acknowledged and not archived when the disk goes.
        "OPENTRAIL_ARCHIVE_SETTLE": "6s", "OPENTRAIL_ARCHIVE_SETTLE_MAX": "8s",
    }  # fmt: skip
    producer = Producer(tmp_path / "source", 42)
    producer.write(1_000, plain=True)
    installation.start(producer.pattern, environment=environment)
    installation.wait_until_drained(producer.owed.lines)
    with Load(producer, 300):
        time.sleep(9)
        on_its_way = installation.status()["pending"]["archive"]
        lose_the_disk(installation)
    assert on_its_way > 0, "vacuous: all was archived when the disk was lost"
    rebuild(installation)
    installation.start(producer.pattern, environment=environment)
    settle(installation, producer, set(producer.owed.kept))
    judge(installation, producer, set(producer.owed.kept))
    status = installation.status()
    assert status["duplicates"] > 0, "vacuous: nothing that is archived was sent again"
