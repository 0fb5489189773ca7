"""The real OpenSearch is dead while eight times the log's limit go through, and catches up alone.

Scaled down by 32: the log may hold 8 MB and 64 MB come, as 256 MB and 2 GB would. Events are bulky
and hard to compress, so that few of them fill the log, and are written no faster than the archive
takes them: what is looked at is who waits for OpenSearch, not how fast this machine is.
"""

import base64
import json
import math
import random
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.real.opensearch import OpenSearchNode

from .archive import read_archive
from .oracle import is_own, judge
from .processes import Installation, wait_for
from .producer import Producer, claim_of
from .records import Record
from .test_opensearch_kills import started_node
from .test_sinks_apart import figure, problems

pytestmark = pytest.mark.long

LOG_BYTES, THROUGH_BYTES = 8_000_000, 64_000_000
BYTES_PER_SECOND = 2_000_000
BYTES_PER_LINE = 12_000
"""In the log, copies and poison among them."""
ENVIRONMENT = {
    "OPENTRAIL_LOG_MAX_BYTES": str(LOG_BYTES), "OPENTRAIL_LOG_SEGMENT_BYTES": "1MB",
    "OPENTRAIL_ARCHIVE_SETTLE": "0.2s", "OPENTRAIL_ARCHIVE_SETTLE_MAX": "0.5s",
    "OPENTRAIL_INDEX_ENGINE": "opensearch", "OPENTRAIL_OPENSEARCH_REPLICAS": "0",
    "OPENTRAIL_OPENSEARCH_TIMEOUT": "10s",
}  # fmt: skip
BLOCKED = ("opentrail_agent_spool_waits_total", "opentrail_agent_refusals_total")


class BulkyProducer(Producer):
    """Its events carry 16 kB each that do not compress well."""

    def _fresh(self, *, with_id: bool = False) -> Record:
        fresh = super()._fresh(with_id=with_id)
        if b'"noise"' in fresh.line:
            return fresh  # It asked itself for another one.
        noise = base64.b64encode(random.Random(f"{self.seed}:{fresh.number}").randbytes(12_000))
        noise = noise.replace(b"+", b"A").replace(b"/", b"B")  # Few words for the same bytes.
        carried = b'"additionalEventData":{"noise":"' + noise + b'"},"readOnly":false'
        heavy = replace(fresh, line=fresh.line.replace(b'"readOnly":false', carried))
        self.owed.kept[heavy.claim] = heavy
        return heavy


def archived_through(cursor: Path) -> int:
    """The log position through which every event is in an object, as docs/formats.md has it."""
    data = cursor.read_bytes()
    found = (0, 0)
    for begin in (0, 4096):
        crc, generation, length = struct.unpack_from("<IQI", data, begin)
        end = begin + 16 + length
        if generation and zlib.crc32(data[begin + 4 : end]) == crc:
            state = msgspec.msgpack.decode(data[begin + 16 : end])[2]
            found = max(found, (generation, int(state["recoverable_through"])))
    return found[1]


class LogOnDisk:
    """The log's files as anybody sees them: how much there is, and how much there ever was."""

    def __init__(self, installation: Installation) -> None:
        self._directory = installation.home / "log"
        self._sizes: dict[int, int] = {}
        """First position of each file there ever was, and how large it was seen."""
        self.largest = 0
        self.not_archived = 0
        """Bytes of the files that hold something which no delivered object holds."""

    def look(self) -> int:
        """All bytes that ever were in it."""
        archived = archived_through(self._directory / "cursors" / "archive")
        now = dict(sorted(self._found()))
        self._sizes |= now
        self.largest = max(self.largest, sum(now.values()))
        ends = [*list(now)[1:], math.inf]
        self.not_archived = sum(
            size for size, end in zip(now.values(), ends, strict=True) if end > archived + 1
        )
        return sum(self._sizes.values())

    def _found(self) -> Iterator[tuple[int, int]]:
        for path in self._directory.glob("*.seg"):
            try:
                yield int(path.stem), path.stat().st_size
            except FileNotFoundError:
                continue  # Released just now.


def put_through(producer: Producer, log: LogOnDisk) -> None:
    """Write until the log has had it all, no faster than the archive takes it."""
    began, before = time.monotonic(), log.look()
    written, next_at = 0, began
    while (through := log.look() - before) < THROUGH_BYTES:
        now = time.monotonic()
        assert now < began + 300, f"{through} bytes of {THROUGH_BYTES} went through in 300 s"
        under_way = log.not_archived + max(0, written - through)
        if now < next_at or under_way > LOG_BYTES // 2:
            time.sleep(0.02)
            continue
        producer.write(10)
        written += 10 * BYTES_PER_LINE
        next_at = now + 10 * BYTES_PER_LINE / BYTES_PER_SECOND  # A pause is not made up for.


def agent_figures(installation: Installation) -> dict[str, float]:
    """What the agent says of itself; a counter that never moved is not there."""
    found = json.loads((installation.home / "agent" / "status.json").read_bytes())
    figures: dict[str, float] = found["figures"]
    return figures


def archived_lines(installation: Installation) -> list[bytes]:
    return [each.line for each in read_archive(installation.home).records]


def waiting_since(installation: Installation) -> tuple[float, dict[str, Any]]:
    told = wait_for(
        "health names OpenSearch", lambda: problems(installation).get("opensearch.waiting"), 30, 0.3
    )
    return datetime.fromisoformat(told["since"]).astimezone(UTC).timestamp(), told


def test_opensearch_dead_while_eight_logs_go_through_blocks_nobody_and_becomes_complete_by_itself(
    tmp_path: Path,
) -> None:
    node = started_node(tmp_path / "opensearch")
    installation = Installation(tmp_path / "ours")
    producer = BulkyProducer(tmp_path / "source", 73)
    try:
        environment = ENVIRONMENT | {"OPENTRAIL_OPENSEARCH_URL": node.url}
        installation.start(producer.pattern, environment=environment)
        producer.write(100)
        installation.wait_until_drained(producer.owed.lines)
        node.kill()
        killed_at = time.time()
        log = LogOnDisk(installation)
        put_through(producer, log)
        nobody_waited(installation, producer, log)
        since, told = waiting_since(installation)
        assert killed_at - 1 < since < killed_at + 15, told
        assert node.url in told["text"]
        node.start()
        judge(installation, producer, at_least=4_000)
        index_is_the_archive(installation, node)
        assert not {"opensearch.missing", "opensearch.waiting"} & set(problems(installation))
    finally:
        installation.destroy()
        node.stop()


def nobody_waited(installation: Installation, producer: Producer, log: LogOnDisk) -> None:
    """With OpenSearch dead: all is archived, agents have nothing left, the log kept its limit."""
    owed = producer.owed
    ingested = "opentrail_ingest_events_total"
    wait_for("all is received", lambda: figure(installation, ingested) >= owed.lines, 30)
    delivered = "opentrail_archive_events_total"
    wanted = len(owed.kept)
    wait_for("all is archived", lambda: figure(installation, delivered) >= wanted, 60, 0.5)
    assert set(owed.kept) <= {claim_of(line) for line in archived_lines(installation)}
    waiting = "opentrail_agent_spool_backlog_batches"
    wait_for("the agent's spool is empty", lambda: agent_figures(installation)[waiting] == 0, 30)
    said = agent_figures(installation)
    blocked = [name for name in said if name.startswith(BLOCKED) and said[name]]
    assert not blocked, f"the agent was blocked: {said}"
    assert figure(installation, "opentrail_ingest_refusals_total") == 0, "agents were refused"
    log.look()
    assert log.largest <= LOG_BYTES, "the log went beyond its limit"
    position = figure(installation, "opentrail_opensearch_position")
    first = figure(installation, "opentrail_log_first_position")
    assert first > position + 1, f"vacuous: the log begins at {first}, OpenSearch has {position}"


def index_is_the_archive(installation: Installation, node: OpenSearchNode) -> None:
    """The same events in both, and as many documents as the server itself counts."""
    found = [line for line in installation.lookup_everything() if not is_own(line)]
    archived = [line for line in archived_lines(installation) if not is_own(line)]
    assert sorted(found) == sorted(archived)
    node.ask("POST", "/opentrail-events-*/_refresh")
    _, counted = node.ask("GET", "/opentrail-events-*/_count")
    assert counted["count"] >= len(found)
