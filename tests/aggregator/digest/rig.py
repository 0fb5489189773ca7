"""An archive with digests over a log and a clock that a test moves."""

import concurrent.futures
from pathlib import Path
from typing import Any

from opentrail.settings import Seconds
from opentrail_aggregator.archive.archiver import Archiver
from opentrail_aggregator.digest.digester import Digester
from opentrail_aggregator.digest.document import Digest
from opentrail_aggregator.digest.inbox import Inbox
from opentrail_aggregator.digest.keys import FileKeys
from opentrail_aggregator.digest.names import FOLDER, read_digest_key
from opentrail_aggregator.digest.reading import read_digest
from opentrail_aggregator.digest.requests import request_end
from opentrail_aggregator.digest.role import ArchiveWithDigests, beginnings_of
from opentrail_aggregator.digest.settings import DigestSettings
from opentrail_aggregator.digest.verify import Report, verify
from tests.aggregator.archive.rig import ACCOUNT, NOON, REGION, Rig, VerdictsOf, event

TRAIL = "arn:aws:cloudtrail:us-east-1:000000000000:trail/default"
OTHER_ACCOUNT, OTHER_REGION = "444455556666", "us-east-2"
HOUR = 3600


class DigestRig(Rig):
    """The archive's rig with the digester beside the archiver."""

    def __init__(self, path: Path, *, interval: float = HOUR, **more: Any) -> None:
        self.interval = interval
        self.numbers = 0
        super().__init__(path, **more)

    def start(self) -> Archiver:
        self.inbox = Inbox(self.home.digest / "inbox")
        self.keys = FileKeys(self.home.keys / "digest")
        archiver = Archiver(
            self.home,
            self.settings,
            self.clock,
            self.metrics,
            log=self.log,
            verdicts=VerdictsOf(self.log),  # type: ignore[arg-type]
            append_control=self.log.append_control,
            destination=self.destination,
            object_max_bytes=self.object_max_bytes,
            log_max_bytes=self.log_max_bytes,
            on_delivered=self.inbox.take_note,
            on_stopped=lambda trail, at_ns: request_end(self.home, trail, at_ns),
        )
        self.digester = Digester(
            self.home,
            DigestSettings(interval=Seconds(self.interval)),
            self.clock,
            self.metrics,
            keys=self.keys,
            inbox=self.inbox,
            destination_of=lambda _: self.destination,
            delivered_through=archiver.delivered_through_ns,
            cut_open=archiver.cut_open,
            beginnings=lambda: beginnings_of(archiver),
        )
        self.archiver = archiver
        self.role = ArchiveWithDigests(archiver, self.digester)
        return archiver

    def work(self, most: int = 100_000) -> None:
        for _ in range(most):
            if self.role.step():
                continue
            if not self._seal_is_coming():
                return
        raise AssertionError("archive and digester never come to rest")

    def _seal_is_coming(self) -> bool:
        """Whether a seal came into the log late, as its thread does on a busy machine."""
        asking = self.archiver._sealer._asking
        if asking is not None:
            concurrent.futures.wait([asking[0]], 10)
        return self.archiver.position < len(self.log.entries)

    def send(self, account: str = ACCOUNT, region: str = REGION, count: int = 3) -> None:
        """Some events that happen now."""
        now = self.clock.now_ns() // 10**9
        events = []
        for _ in range(count):
            self.numbers += 1
            events.append(event(self.numbers, now, account, region))
        self.log.send(events)

    def digest_keys(self, account: str = ACCOUNT, region: str = REGION) -> list[str]:
        found = self.destination.list(f"AWSLogs/{account}/{FOLDER}/{region}/")
        return [each.key for each in found]

    def digests(self, account: str = ACCOUNT, region: str = REGION) -> list[Digest]:
        """In order of time, without backfill."""
        keys = [
            key
            for key in self.digest_keys(account, region)
            if not read_digest_key(key).backfill  # type: ignore[union-attr]
        ]
        return [read_digest(self.destination, key)[0] for key in keys]

    def check(self) -> Report:
        return verify(
            self.home, self.destination, self.keys, self.clock, prefix=self.settings.prefix
        )


def busy(rig: DigestRig, hours: int = 4) -> None:
    """Two accounts in two regions, with a quiet hour each."""
    rig.grant_all()
    for hour in range(hours):
        for account in (ACCOUNT, OTHER_ACCOUNT):
            for region in (REGION, OTHER_REGION):
                if (hour + int(account[0]) + len(region)) % 3:
                    rig.send(account, region)
        rig.pass_time(HOUR, step=300)


__all__ = ["ACCOUNT", "NOON", "OTHER_ACCOUNT", "OTHER_REGION", "REGION", "TRAIL"]
