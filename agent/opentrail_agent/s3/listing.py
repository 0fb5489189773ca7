"""A bucket followed by listing it: every stream of every account, organizations too.

Which streams there are is looked up now and then (folders are listed by their delimiter); each poll
then lists the newest days of each stream.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.files import DISK, Files

from ..metrics import Metrics
from .client import S3Error, as_s3_error
from .feed import Poison
from .fetching import Wanted
from .importing import list_keys
from .layout import ROOT, holds_no_records, is_account, is_organization
from .settings import S3SourceSettings
from .stream import Stream

DISCOVER_SECONDS = 600.0


class BucketFeed:
    """One followed bucket."""

    def __init__(
        self, settings: S3SourceSettings, client: Any, state: Path, clock: Clock,
        metrics: Metrics, files: Files = DISK,
    ) -> None:  # fmt: skip
        self.name = settings.url
        self.wait_seconds: float = settings.poll
        self._settings = settings
        self._client = client
        self._clock = clock
        self._metrics = metrics
        self._files = files
        self._bucket, self._prefix = settings.place
        named = hashlib.sha256(settings.url.rstrip("/").encode()).hexdigest()[:16]
        self._directory = state / "s3" / named
        self._first_day = settings.since.replace("-", "/") + "/" if settings.since else ""
        self._streams: dict[str, Stream] = {}
        self._discover_at = float("-inf")

    def poll(self, is_stopping: Callable[[], bool]) -> Iterator[Wanted | Poison]:
        if self._clock.monotonic() >= self._discover_at:
            self._discover()
            self._discover_at = self._clock.monotonic() + DISCOVER_SECONDS
        for stream in list(self._streams.values()):
            listed = list_keys(self._client, self._bucket, stream.name, stream.start_after)
            for key, size in stream.fresh(listed):
                if is_stopping():
                    return
                if not holds_no_records(key):
                    yield Wanted(self._bucket, key, size, (stream, key))

    @property
    def is_drained(self) -> bool:
        return not any(stream.failed for stream in self._streams.values())

    def failed(self, wanted: Wanted, error: S3Error) -> Poison | None:
        assert isinstance(wanted.ticket, tuple)
        stream, key = wanted.ticket
        if error.reason == "gone":
            stream.taken(key)  # Removed since it was listed: nothing is left to be read.
        else:
            stream.failed.add(key.removeprefix(stream.name))
        return None

    def spooled(self, tickets: Sequence[object], position: int) -> None:
        streams = {}
        for ticket in tickets:
            assert isinstance(ticket, tuple)
            stream, key = ticket
            stream.taken(key)
            streams[stream.name] = stream
        for stream in streams.values():
            stream.save()

    def settle(self, acknowledged: int) -> None:
        """Nobody waits for it: what is in the spool arrives."""

    def _discover(self) -> None:
        roots = []
        for name in self._folders(self._prefix + ROOT):
            if is_account(name):
                roots.append(self._prefix + ROOT + name)
            elif is_organization(name):
                inside = self._prefix + ROOT + name
                roots += [inside + each for each in self._folders(inside) if is_account(each)]
        for root in roots:
            for folder in self._folders(root):
                if folder.rstrip("/") not in self._settings.folders:
                    continue
                for region in self._folders(root + folder):
                    name = root + folder + region
                    if name not in self._streams:
                        self._streams[name] = self._open(name)
        self._metrics.set("opentrail_agent_s3_streams", len(self._streams), source=self.name)

    def _open(self, name: str) -> Stream:
        look_back, first_day = self._settings.look_back, self._first_day
        stream = Stream(self._directory, name, look_back, first_day, self._files)
        if stream.note:
            self._metrics.problem(f"s3.state {name}", stream.note)
        return stream

    def _folders(self, prefix: str) -> list[str]:
        """Names of the folders in `prefix`, with their slash."""
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, Delimiter="/"
            )
            return [
                each["Prefix"].removeprefix(prefix)
                for page in pages
                for each in page.get("CommonPrefixes", [])
            ]
        except Exception as error:
            raise as_s3_error(error, f"s3://{self._bucket}/{prefix}") from error
