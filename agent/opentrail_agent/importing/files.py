"""`opentrail import FILE|DIR...`: files that do not grow, each once, however often interrupted.

A file is read twice: first to name its generation, the sha256 of its uncompressed content, then
to cut it. So a record without an eventID gets the same id wherever the file lies, whatever it is
called and whether or not it is compressed, and importing it again makes no second event.

STATE/import.journal remembers how far each generation is in the spool, one line each time:

    <generation> <offset> <layout>
    <generation> done

It is written after the spool, so a crash in between sends some events again, which the aggregator
counts as copies. When everything has been imported it is removed: who imports again sends again.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opentrail.clock import Clock, SystemClock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files

from ..capture.content import Content, content_of
from ..capture.following import SpoolAppend
from ..capture.settings import Kind, MappingSettings, Redact
from ..capture.sniff import beginning_of, why_not_json
from .cutting import CHUNK_BYTES, As, Cutter, Step
from .journal import Journal
from .progress import ImportProgress, ImportResult
from .running import run_work

NOT_RECORDS = ("CloudTrail-Digest", "OpenTrail-Manifest")
"""Folders that lie in a bucket beside the records and hold none."""


async def run_import(
    paths: Sequence[Path],
    spool_append: SpoolAppend,
    state_dir: Path,
    progress: Callable[[ImportProgress], None],
    stop: asyncio.Event,
    *,
    clock: Clock | None = None,
    kind: Kind = "auto",
    account: str = "",
    region: str = "",
    mapping: MappingSettings | None = None,
    redact: Redact = "auto",
    files: Files = DISK,
    crash: Callable[[str], None] = crash_point,
) -> ImportResult:
    """Import `paths` (folders with all that is in them) until done or `stop`.

    `progress` is called now and then from the event loop. Raises OSError if the journal cannot be
    written.
    """
    work = _Import(paths, state_dir, As(kind, account, region, mapping, redact), files)
    return await run_work(work, spool_append, progress, stop, clock or SystemClock(), crash)


@dataclass
class _Import:
    """The work of one import, step by step, in one thread."""

    paths: Sequence[Path]
    state_dir: Path
    taken_for: As
    files: Files
    progress: ImportProgress = field(default_factory=ImportProgress)
    is_stopping: bool = False

    def __post_init__(self) -> None:
        self.journal = Journal(self.state_dir, self.files)
        self._cutter = Cutter(self.taken_for)
        self._failed: list[tuple[str, str]] = []
        self._changed: list[str] = []
        self._already = 0
        self._imported = 0
        self._left_out = 0
        self._skipped: list[tuple[str, str]] = []
        self._is_complete = False

    def steps(self) -> Iterator[Step]:
        """Every batch, in order."""
        found = list(self._find())
        self.progress.files_total = len(found)
        self.progress.bytes_total = sum(size for _, size in found)
        for path, size in found:
            before = self.progress.bytes_done
            self.progress.path = str(path)
            try:
                yield from self._import(path)
            except OSError as error:
                self._failed.append((str(path), error.strerror or str(error)))
            if self.is_stopping:
                return
            self.progress.bytes_done = before + size
            self.progress.files_done += 1
        if self._cutter.has_more:
            yield self._cutter.seal()

    def spooled(self, step: Step) -> None:
        """The batch of `step` is durable."""
        self.progress.events += step.batch.events
        self.progress.refused += step.batch.refused
        self.journal.write(step.reached)

    def complete(self) -> None:
        """Everything is in the spool."""
        self._is_complete = True
        if not self._failed:
            self.journal.remove()

    def close(self) -> None:
        self.journal.close()

    def result(self) -> ImportResult:
        return ImportResult(
            self._imported, self._already, self.progress.events, self.progress.refused,
            self._failed, self._changed, self._left_out, self._skipped, self._is_complete,
        )  # fmt: skip

    def _find(self) -> Iterator[tuple[Path, int]]:
        for path in self.paths:
            if not path.is_dir():
                yield from self._size_of(path)
                continue
            for folder, folders, names in os.walk(path):
                folders.sort()
                is_left_out = any(part in NOT_RECORDS for part in Path(folder).parts)
                for name in sorted(names):
                    if is_left_out:
                        self._left_out += 1
                    elif self._is_taken(Path(folder, name)):
                        yield from self._size_of(Path(folder, name))

    def _is_taken(self, path: Path) -> bool:
        """Whether a file that was found in a folder looks like records."""
        try:
            if path.is_file():
                with path.open("rb", buffering=0) as file:
                    why = why_not_json(beginning_of(file.fileno()))
            else:
                why = "is no regular file"
        except OSError:
            return True  # Said when it is to be read.
        if why:
            self._skipped.append((str(path), why))
        return not why

    def _size_of(self, path: Path) -> Iterator[tuple[Path, int]]:
        try:
            yield path, path.stat().st_size
        except OSError as error:
            self._failed.append((str(path), error.strerror or str(error)))

    def _import(self, path: Path) -> Iterator[Step]:
        with path.open("rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            content = content_of(file.fileno())
            generation, length = self._name(content)
            if self.is_stopping:
                return
            touched = self._cutter.touched
            place = (
                touched[generation] if generation in touched else self.journal.reached(generation)
            )
            if place is None:
                self._already += 1
                return
            yield from self._cutter.cut(
                f"file:{path.absolute()}", content_of(file.fileno()), generation, length, place,
                is_stopping=lambda: self.is_stopping, advance=self._advance,
            )  # fmt: skip
            if self.is_stopping:
                return
            self._imported += 1
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self._changed.append(str(path))

    def _name(self, content: Content) -> tuple[str, int]:
        """The generation of a content, and its length."""
        digest, length = hashlib.sha256(), 0
        while not self.is_stopping and (chunk := content.read(length, CHUNK_BYTES)):
            digest.update(chunk)
            self._advance(content, length, len(chunk))
            length += len(chunk)
        return digest.hexdigest(), length

    def _advance(self, content: Content, offset: int, length: int) -> None:
        self.progress.bytes_done += content.raw_bytes(offset, length) / 2
