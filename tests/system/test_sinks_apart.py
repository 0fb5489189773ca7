"""One sink is away for long: the other one and the agents do not notice, and it catches up alone.

The log is small here, so it is full several times over: what only the index that is away still
needs goes once it is archived, and comes back from the archive.
"""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from .archive import read_archive
from .oracle import judge
from .processes import Installation, free_port, wait_for
from .producer import Load, Producer, claim_of

pytestmark = pytest.mark.long

LOG_BYTES = 5_000_000
SMALL_LOG = {"OPENTRAIL_LOG_MAX_BYTES": "5MB", "OPENTRAIL_LOG_SEGMENT_BYTES": "1MB"}


def figure(installation: Installation, name: str) -> float:
    """The sum of a metric over its labels."""
    text = installation.get("/metrics")[1].decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def refused_for_room(installation: Installation) -> float:
    text = installation.get("/metrics")[1].decode()
    pattern = r'^opentrail_ingest_refusals_total{[^}]*code="full"[^}]*} (\S+)$'
    return sum(map(float, re.findall(pattern, text, re.M)))


def problems(installation: Installation) -> dict[str, Any]:
    """Key -> what `/health/delivery` says of it."""
    told = json.loads(installation.get("/health/delivery")[1])
    return {each["key"]: each for each in told["problems"]}


def archived_claims(installation: Installation) -> set[str | None]:
    return {claim_of(each.line) for each in read_archive(installation.home).records}


def resident(installation: Installation) -> int:
    return sum(each.resident_bytes() for each in installation.processes())


def test_an_index_away_while_the_log_fills_twice_delays_nobody_and_catches_up_by_itself(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 71)
    installation.start(producer.pattern, environment=SMALL_LOG)
    index = installation.find("index")
    index.kill(signal.SIGSTOP)
    with Load(producer, 1500, rotate_every_seconds=1000):
        time.sleep(15)
        before = resident(installation)
        time.sleep(30)
    lines = producer.owed.lines
    name = "opentrail_ingest_events_total"
    wait_for("all is received", lambda: figure(installation, name) >= lines, 30)
    # The archive is complete, and the log was full more than once, while the index is away.
    owed = set(producer.owed.kept)
    wait_for("the archive holds all", lambda: owed <= archived_claims(installation), 60, 1)
    through = figure(installation, "opentrail_ingest_bytes_total")
    assert through > 1.2 * LOG_BYTES, f"vacuous: {through:.0f} bytes went through"
    assert figure(installation, "opentrail_log_first_position") > 1
    assert figure(installation, "opentrail_log_bytes") < LOG_BYTES
    assert refused_for_room(installation) == 0, "agents were blocked"
    assert resident(installation) < before + 100_000_000
    index.kill(signal.SIGCONT)
    judge(installation, producer, at_least=30_000)


def test_a_dead_archive_fills_the_log_and_health_names_it_since_when_and_how_long_it_lasts(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 72)
    environment = SMALL_LOG | {
        "OPENTRAIL_ARCHIVE_DESTINATION": "s3", "OPENTRAIL_ARCHIVE_STAGED_MAX": "200KB",
        "OPENTRAIL_ARCHIVE_S3_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OPENTRAIL_ARCHIVE_S3_REGION": "us-east-1", "OPENTRAIL_ARCHIVE_S3_TIMEOUT": "1s",
        "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing",
    }  # fmt: skip
    installation.start(producer.pattern, environment=environment)
    with Load(producer, 700, rotate_every_seconds=1000):
        held = wait_for("log.held", lambda: problems(installation).get("log.held"), 90, 0.5)
        assert re.search(
            r"archive holds the log back: it has stood at position \d+ of \d+ since 20\S+Z, .* "
            r"full in about \d+ s", held["text"],
        ), held  # fmt: skip
        full = wait_for("log.full", lambda: problems(installation).get("log.full"), 120, 0.5)
        wait_for("agents are told to wait", lambda: refused_for_room(installation) > 0, 30)
    assert "archive holds the log back" in full["text"]
    # The index goes on as far as the log goes.
    documents = figure(installation, "opentrail_index_position")
    assert documents >= 0.9 * figure(installation, "opentrail_log_position")
