"""A log, written by hand, and the consolidate room over it."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentrail.batch import RefusedItem, SourceRun, digest_of, seal_batch
from opentrail_aggregator.consolidate.consolidator import Consolidator
from opentrail_aggregator.consolidate.firsts import ArchiveLookup, in_no_archive
from opentrail_aggregator.consolidate.settings import ConsolidateSettings
from opentrail_aggregator.consolidate.verdict import Verdict, VerdictReader
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.quarantine.item import Item
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.quarantine.settings import QuarantineSettings
from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.log import BatchMeta, NewFrame, batch_frame, control_frame
from opentrail_aggregator.wal.published import PublishedPosition
from tests.fakes.clock import FakeClock

NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
EPOCH = "0123456789abcdef0123456789abcdef"
EVERYTHING = {"grants": [{"agent": "*", "accounts": ["*"], "regions": ["*"]}]}


def record(event_id: str = "e1", **members: Any) -> dict[str, Any]:
    """A CloudTrail record as AWS writes it, with `members` changed; None leaves one out."""
    whole = {
        "eventVersion": "1.10",
        "userIdentity": {"type": "IAMUser", "accountId": "111122223333", "userName": "ada"},
        "eventTime": "2025-12-31T10:11:12Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": "eu-west-1",
        "eventID": event_id,
        "recipientAccountId": "111122223333",
        **members,
    }
    return {name: value for name, value in whole.items() if value is not None}


def line(event_id: str = "e1", **members: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(record(event_id, **members), separators=(",", ":")).encode()


@dataclass(frozen=True)
class Sections:
    consolidate: ConsolidateSettings = field(default_factory=ConsolidateSettings)
    quarantine: QuarantineSettings = field(default_factory=QuarantineSettings)


class World:
    """One home. `send` and `control` write the log, `run` consolidates it."""

    def __init__(self, path: Path, *, settings: dict[str, Any] | None = None) -> None:
        self.home = Home(path)
        self.clock = FakeClock(NOW)
        self.metrics = Metrics("consolidate", self.clock)
        self.sections = Sections()
        self.archive_lookup: ArchiveLookup = in_no_archive
        self.settings: dict[str, Any] = EVERYTHING if settings is None else settings
        self.log = DiskLog(
            self.home.log,
            self.clock,
            segment_bytes=1 << 20,
            published=PublishedPosition(self.home.log, writing=True),
            # As ingest does it, so that the settings in force are never released.
            first_in_segment=lambda: control_frame("settings", self.settings),
        )
        self.sequences: dict[tuple[str, str], int] = {}
        self.quarantine = Quarantine(self.home)
        self._consolidator: Consolidator | None = None
        self.control("settings", self.settings)

    def commit(self, frame: NewFrame) -> int:
        committed = self.log.commit([frame])
        assert committed.error is None
        return committed.positions[0]

    def control(self, kind: str, body: dict[str, Any]) -> int:
        if kind == "settings":
            self.settings = body
        return self.commit(control_frame(kind, body))

    def send(
        self,
        lines: Sequence[bytes],
        *,
        agent: str = "web-1",
        epoch: str = EPOCH,
        refused: Iterable[RefusedItem] = (),
        sources: list[SourceRun] | None = None,
        **source: Any,
    ) -> int:
        """One batch with these records; the position of its frame."""
        items = list(refused)
        if sources is None:
            run = SourceRun(
                source="file:/var/log/trail.json", events=len(lines), refused=len(items), **source
            )
            sources = [run]
        raw = b"".join(each + b"\n" for each in lines)
        payload = seal_batch(raw, len(lines), sources, items)
        return self.send_payload(payload, len(lines), len(items), agent=agent, epoch=epoch)

    def send_payload(
        self, payload: bytes, events: int, refused: int, *, agent: str = "web-1", epoch: str = EPOCH
    ) -> int:
        sequence = self.sequences[agent, epoch] = self.sequences.get((agent, epoch), 0) + 1
        meta = BatchMeta(agent, epoch, sequence, digest_of(payload).hex())
        return self.commit(batch_frame(meta, payload, events, refused))

    def consolidator(self) -> Consolidator:
        if self._consolidator is None:
            self._consolidator = Consolidator(
                self.home,
                self.sections,
                self.clock,
                self.metrics,
                archive_lookup=self.archive_lookup,
            )
        return self._consolidator

    def run(self) -> None:
        """Steps until there is nothing more to do."""
        while self.consolidator().step():
            pass

    def restart(self) -> None:
        """The role begins anew, as after a stop."""
        if self._consolidator is not None:
            self._consolidator.close()
            self._consolidator = None

    def crash(self) -> None:
        """The role is gone without a word."""
        self._consolidator = None

    def release_through(self, position: int) -> None:
        """Let the log grow until the segment of `position` can go, and let it go."""
        while self.log.first_position <= position:
            number = self.log.durable_position
            noise = random.Random(number).randbytes(400_000).hex()
            self.send([line(f"filler-{number}", fill=noise)])
            self.run()
            self.log.drop_before(number + 1)
        self.restart()

    def verdicts(self) -> list[Verdict]:
        reader = VerdictReader(self.home)
        found: list[Verdict] = []
        after = max(reader.first_position() - 1, 0)
        while batch := reader.read(after):
            found += batch
            after = batch[-1].position
        return found

    def verdict(self, position: int) -> Verdict:
        return VerdictReader(self.home).read(position - 1, 1)[0]

    def outcomes(self, position: int) -> list[int]:
        self.run()
        return list(self.verdict(position).outcomes)

    def items(self) -> list[Item]:
        return [item for item, _ in self.quarantine.list(limit=100_000, newest_first=False)]

    def problems(self) -> dict[str, str]:
        return {each["key"]: each["text"] for each in self.metrics.snapshot()["problems"]}
