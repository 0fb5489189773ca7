"""`opentrail import s3://BUCKET/PREFIX`: what is listed there, each object once.

STATE/s3-import.json remembers for each place given how far its listing is in the spool:

    {"format": 1, "places": {"s3://b/p": {"after": KEY, "failed": [KEY…]}}}

It is written after the spool, so a crash sends some events again, which the aggregator counts as
copies; ids that stand in for missing ones are made of the content, so they are the same again. When
everything has been imported it is removed: who imports again sends again.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail.s3_url import parse_s3_url

from ..capture.content import content_of
from ..capture.sniff import beginning_of, why_not_json
from ..capture.splitter import Place
from ..importing.cutting import As, Cutter, Step
from ..importing.progress import ImportProgress, ImportResult
from .client import S3Error, as_s3_error
from .fetching import Fetched, Fetcher, Wanted
from .layout import holds_no_records

_SAVE_SECONDS = 1.0
_FORMAT = 1
_STOPS = ("held", "away")
"""Errors after which every further object would fail as well."""


@dataclass(slots=True)
class _Reached:
    after: str = ""
    failed: list[str] = field(default_factory=list)


class S3Import:
    """The work of one import, step by step, in one thread."""

    def __init__(
        self, urls: Sequence[str], client: Any, workers: int, state: Path, taken_for: As,
        clock: Clock, files: Files = DISK,
    ) -> None:  # fmt: skip
        self.progress = ImportProgress()
        self.is_stopping = False
        self._places = [parse_s3_url(url, "import") for url in urls]
        self._client = client
        self._clock = clock
        self._files = files
        self._path = state / "s3-import.json"
        files.make_directory(state)
        self._reached = self._load()
        self._saved_at = float("-inf")
        self._fetcher = Fetcher(client, workers, state)
        self._cutter = Cutter(taken_for)
        self._result = _Counts()
        self._counting = threading.Thread(target=self._count, name="s3-count", daemon=True)

    def steps(self) -> Iterator[Step]:
        """Every batch, in order; raises S3Error when nothing more can be had."""
        self._counting.start()
        for bucket, prefix in self._places:
            name = f"s3://{bucket}/{prefix}"
            reached = self._reached.setdefault(name, _Reached())
            again = [Wanted(bucket, key, ticket=name) for key in reached.failed]
            listed = self._listed(bucket, prefix, reached.after, name)
            for objects in (again, listed):
                for fetched in self._fetcher.each(objects, self._stops):
                    yield from self._take(fetched, named=fetched.wanted.key == prefix)
            if self.is_stopping:
                return
        if self._cutter.has_more:
            yield self._cutter.seal()

    def _take(self, fetched: Fetched, *, named: bool) -> Iterator[Step]:
        wanted = fetched.wanted
        self.progress.path = wanted.key
        if fetched.error is not None:
            if fetched.error.reason in _STOPS:
                raise fetched.error
            self._result.failed[wanted.url] = str(fetched.error)
        else:
            assert fetched.file is not None
            fd = fetched.file.fileno()
            why = "" if named else why_not_json(beginning_of(fd))
            if why:
                self._result.skipped.append((wanted.url, why))
            else:
                yield from self._cutter.cut(
                    wanted.url, content_of(fd), fetched.generation, fetched.length, Place(),
                    is_stopping=self._stops,
                )  # fmt: skip
                if self.is_stopping:
                    return
                self._result.files += 1
        self._cutter.ended(wanted)
        self.progress.files_done += 1
        self.progress.bytes_done += wanted.size

    def spooled(self, step: Step) -> None:
        """The batch of `step` is durable."""
        self.progress.events += step.batch.events
        self.progress.refused += step.batch.refused
        for wanted in step.ended:
            assert isinstance(wanted, Wanted)
            reached = self._reached[str(wanted.ticket)]
            if wanted.url in self._result.failed:
                if wanted.key not in reached.failed:
                    reached.failed.append(wanted.key)
            elif wanted.key in reached.failed:
                reached.failed.remove(wanted.key)
            reached.after = max(reached.after, wanted.key)
        if self._clock.monotonic() - self._saved_at >= _SAVE_SECONDS:
            self._save()

    def complete(self) -> None:
        self._result.is_complete = True
        self._reached = {name: each for name, each in self._reached.items() if each.failed}

    def close(self) -> None:
        """Let go of threads, and make durable how far it came."""
        self.is_stopping = True
        self._fetcher.close()
        if self._reached:
            self._save()
        elif self._files.exists(self._path):
            self._files.unlink(self._path)

    def result(self) -> ImportResult:
        counts = self._result
        return ImportResult(
            counts.files, 0, self.progress.events, self.progress.refused,
            list(counts.failed.items()), [], counts.left_out, counts.skipped, counts.is_complete,
        )  # fmt: skip

    def _stops(self) -> bool:
        return self.is_stopping

    def _listed(self, bucket: str, prefix: str, after: str, name: str) -> Iterator[Wanted]:
        for key, size in list_keys(self._client, bucket, prefix, after):
            if holds_no_records(key):
                self._result.left_out += not key.endswith("/")
            else:
                yield Wanted(bucket, key, size, name)

    def _count(self) -> None:
        """What there is to do, for the bar; listing is much faster than reading."""
        for bucket, prefix in self._places:
            after = self._reached.get(f"s3://{bucket}/{prefix}", _Reached()).after
            try:
                for key, size in list_keys(self._client, bucket, prefix, after):
                    if self.is_stopping:
                        return
                    if not holds_no_records(key):
                        self.progress.files_total += 1
                        self.progress.bytes_total += size
            except S3Error:
                return  # The one who reads meets it too, and says so.

    def _load(self) -> dict[str, _Reached]:
        if not self._files.exists(self._path):
            return {}
        content = self._files.read(self._path, 0, self._files.size(self._path))
        refuse_newer(self._path, content, _FORMAT)
        try:
            saved = json.loads(content)
            return {
                name: _Reached(str(each["after"]), [str(key) for key in each["failed"]])
                for name, each in saved["places"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(
                f"{self._path}: cannot be read ({error!r}); remove it to import everything again, "
                "what is known already is counted as a copy"
            ) from error

    def _save(self) -> None:
        self._saved_at = self._clock.monotonic()
        places = {
            name: {"after": each.after, "failed": each.failed}
            for name, each in self._reached.items()
        }
        content = json.dumps({"format": _FORMAT, "places": places})
        self._files.replace(self._path, content.encode())


@dataclass(slots=True)
class _Counts:
    files: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0
    is_complete: bool = False


def list_keys(client: Any, bucket: str, prefix: str, after: str = "") -> Iterator[tuple[str, int]]:
    """Keys and stored sizes in order of the keys; raises S3Error."""
    try:
        more = {"StartAfter": after} if after else {}
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, **more
        )
        for page in pages:
            for each in page.get("Contents", []):
                yield each["Key"], int(each["Size"])
    except Exception as error:
        raise as_s3_error(error, f"s3://{bucket}/{prefix}") from error
