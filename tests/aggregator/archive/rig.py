"""A log, verdicts and a clock that a test moves by hand, and an archive that reads them.

The log and its verdicts live in memory and outlast every archiver, as the real ones outlast a
process; whatever is stopped half-way is simply made again over the same folders.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from opentrail.batch import SourceRun, seal_batch
from opentrail.files import DiskFiles
from opentrail.identity import event_key
from opentrail.segment.frame import Kind
from opentrail_aggregator.archive.archiver import Archiver
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.figures import ArchiveReader
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.archive.verify import Verification, verify_manifests
from opentrail_aggregator.consolidate.verdict import COPY, KEPT, NO_GROUP, REFUSED, Group, Verdict
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.wal.log import LogEntry
from tests.fakes.clock import FakeClock

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
NOON = 1_790_000_000 // 86400 * 86400 + 12 * 3600
"""12:00:00 UTC of some day in 2026, epoch seconds."""
LOG_ID = "0123456789abcdef0123456789abcdef"
ACCOUNT = "111122223333"
REGION = "eu-west-1"
GRANT_ALL = {"agent": "*", "accounts": ["*"], "regions": ["*"]}


class QuickFiles(DiskFiles):
    """The disk without waiting for it: order and durability are tried in `test_crashes`."""

    def sync_directory(self, directory: Path) -> None:
        return

    def replace(self, path: Path, content: bytes) -> None:
        self.replace_volatile(path, content)


class Event(msgspec.Struct, frozen=True):
    """An event as a test wants it."""

    line: bytes
    account: str
    region: str
    time: int
    event_id: str
    derived: bool = False


def event(
    number: int,
    time: int,
    account: str = ACCOUNT,
    region: str = REGION,
    *,
    pad: int = 0,
    category: str | None = "Management",
    derived: bool = False,
) -> Event:
    """An event with bytes that a re-serialisation would not give back."""
    event_id = f"id-{number}"
    stamp = np.datetime64(time, "s")
    members = [f'"eventTime":"{stamp}Z"', f'"n":{number}', '"f":1.10e-07', r'"s":"a\/b\u00e9"']
    if not derived:
        members.append(f'"eventID":"{event_id}"')
    if category is not None:
        members.append(f'"eventCategory":"{category}"')
    if pad:
        members.append(f'"pad":"{"x" * pad}"')
    line = ("{" + ", ".join(members) + "}").encode()
    return Event(line, account, region, time, event_id, derived)


class MemoryLog:
    """Log and verdicts in one."""

    log_id = LOG_ID

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.entries: list[LogEntry] = []
        self.verdicts: list[Verdict] = []
        self.kept_total = 0
        self.sequence: dict[str, int] = {}
        self.refuse_control = False

    # As the archive sees it.

    def durable_position(self) -> int:
        return len(self.entries)

    def consolidated_position(self) -> int:
        return len(self.verdicts)

    def first_position(self) -> int:
        return 1

    def read(self, after: int, max_bytes: int = 8 << 20) -> Any:
        found, size = [], 0
        for entry in self.entries[after:]:
            found.append(entry)
            size += len(entry.payload)
            if size >= max_bytes:
                break
        return found

    def received_through(self, position: int) -> tuple[int, int]:
        return 0, 0

    def append_control(self, kind: str, body: dict[str, Any]) -> int:
        if self.refuse_control:
            raise OSError("ingest is away")
        payload = json.dumps({"type": kind, **body}).encode()
        self._append(Kind.CONTROL, payload, Verdict(0), "", 0)
        return len(self.entries)

    # As a test fills it.

    def send(
        self,
        events: Iterable[Event],
        *,
        agent: str = "web-1",
        kind: str = "follow",
        copies: Iterable[int] = (),
        refused: Iterable[int] = (),
        imported: int = 0,
    ) -> int:
        """One batch; ordinals in `copies` and `refused` are not kept, the last ones imported."""
        batch = list(events)
        bad = set(refused)
        skip = set(copies) | bad
        data = b"".join(each.line + b"\n" for each in batch)
        derived = {i: each.event_id for i, each in enumerate(batch) if each.derived}
        runs = [
            SourceRun(source="file:/a", events=len(batch) - imported, derived=derived, kind=kind),
            SourceRun(source="file:/b", events=imported, kind="import"),
        ]
        payload = seal_batch(data, len(batch), runs[: 1 + (imported > 0)], [])
        groups: dict[Group, int] = {}
        group_of = []
        for i, each in enumerate(batch):
            group = Group(each.account, each.region, each.time // 3600)
            # As consolidate does it: the group of a copy is named too, with nothing in it.
            number = groups.setdefault(group, len(groups))
            group_of.append(NO_GROUP if i in skip else number)
        verdict = Verdict(
            0,
            events=len(batch),
            outcomes=bytes(
                REFUSED if i in bad else COPY if i in skip else KEPT for i in range(len(batch))
            ),
            groups=list(groups),
            group_of=np.array(group_of, dtype="<u2").tobytes(),
            times=np.array([each.time for each in batch], dtype="<i8").tobytes(),
            keys=b"".join(
                event_key(each.account, each.event_id, each.time // 3600) for each in batch
            ),
            derived=derived,
        )
        self.kept_total += len(batch) - len(skip)
        self.sequence[agent] = self.sequence.get(agent, 0) + 1
        return self._append(Kind.BATCH, payload, verdict, agent, self.sequence[agent])

    def heartbeat(self, agent: str, **more: Any) -> None:
        """The agent says that all it read is in its batches so far."""
        self.append_control(
            "heartbeat",
            {
                "agent": agent,
                "epoch": "e" * 32,
                "sequence": self.sequence.get(agent, 0),
                "reported_at_ns": self.clock.now_ns(),
                "sources": [],
                **more,
            },
        )

    def _append(
        self, kind: Kind, payload: bytes, verdict: Verdict, agent: str, sequence: int
    ) -> int:
        position = len(self.entries) + 1
        verdict.position = position
        verdict.kept_total = self.kept_total
        self.entries.append(
            LogEntry(
                position,
                kind,
                self.clock.now_ns(),
                agent,
                "e" * 32 if agent else "",
                sequence,
                "",
                "*",
                verdict.events,
                0,
                payload,
            )
        )
        self.verdicts.append(verdict)
        return position


class VerdictsOf:
    """The verdict side of a memory log."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.stopped_by = ""

    def consolidated_position(self) -> int:
        return self._log.consolidated_position()

    def read(self, after: int, max_bytes: int = 8 << 20) -> list[Verdict]:
        if self.stopped_by:
            return []
        return self._log.verdicts[after : after + 1000]


class Rig:
    """A home, a clock, a log and the archiver over them."""

    def __init__(
        self,
        path: Path,
        *,
        log: MemoryLog | None = None,
        destination: Destination | None = None,
        object_max_bytes: int = 50_000_000,
        log_max_bytes: int = 8 << 30,
        **settings: Any,
    ) -> None:
        self.home = Home(path)
        self.clock = log.clock if log else FakeClock(NOON)
        self.log = log or MemoryLog(self.clock)
        self.settings = ArchiveSettings(**settings)
        self.files = QuickFiles()
        self.destination = destination or LocalDirectory(
            self.home, self.settings.bucket, self.files
        )
        self.object_max_bytes = object_max_bytes
        self.log_max_bytes = log_max_bytes
        self.metrics = Metrics("archive", self.clock)
        self.archiver = self.start()

    def start(self) -> Archiver:
        """An archiver over what is on disk, as after any stop."""
        self.verdicts = VerdictsOf(self.log)
        self.archiver = Archiver(
            self.home,
            self.settings,
            self.clock,
            self.metrics,
            log=self.log,
            verdicts=self.verdicts,  # type: ignore[arg-type]
            append_control=self.log.append_control,
            destination=self.destination,
            object_max_bytes=self.object_max_bytes,
            log_max_bytes=self.log_max_bytes,
            files=self.files,
        )
        return self.archiver

    def grant_all(self) -> None:
        self.log.append_control("settings", {"grants": [GRANT_ALL]})

    def work(self, most: int = 100_000) -> None:
        """Until there is nothing left to do right now."""
        for _ in range(most):
            if not self.archiver.step():
                return
        raise AssertionError("the archive never comes to rest")

    def pass_time(self, seconds: float, step: float = 30.0) -> None:
        """Let time go by, the archive working in between."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self.work()

    # What is there.

    @property
    def reader(self) -> ArchiveReader:
        return ArchiveReader(self.home, self.destination, self.settings.prefix)

    def verify(self) -> Verification:
        return verify_manifests(self.home, self.destination, self.settings.prefix)

    def object_keys(self, folder: str = "CloudTrail") -> list[str]:
        return [each.key for each in self.reader.catalog.listed() if f"/{folder}/" in each.key]

    def manifests(self) -> list[Any]:
        """All manifests in order of cutting."""
        catalog = self.reader.catalog
        found = [catalog.manifest(key) for key in catalog.manifest_keys()]
        return sorted(found, key=lambda each: each.sequence)

    def records(self) -> list[bytes]:
        """Every archived record."""
        return [record.line for _, record in self.reader.catalog.all_records()]

    def assert_sound(self) -> None:
        """Sums close, everything verifies, nothing twice."""
        figures = self.reader.figures(recount=True)
        assert figures.findings == []
        assert figures.archived + figures.pending == figures.kept_total
        assert self.verify().problems == []
        positions = [record.position for _, record in self.reader.catalog.all_records()]
        assert len(positions) == len(set(positions))
