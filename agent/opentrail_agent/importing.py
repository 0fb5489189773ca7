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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from opentrail.clock import Clock, SystemClock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files
from opentrail.limits import BATCH_RAW_BYTES

from .capture.batching import Batch, Draft, Origin
from .capture.content import Content, GzipContent, content_of
from .capture.following import SpoolAppend, unless_stopped
from .capture.mapping import Mapping
from .capture.redact import redactor_of
from .capture.settings import Kind, MappingSettings, Redact
from .capture.sight import Sight
from .capture.sniff import beginning_of, why_not_json
from .capture.splitter import Layout, Place, Splitter

_CHUNK_BYTES = BATCH_RAW_BYTES
_PROGRESS_SECONDS = 0.2
# What lies in a bucket beside the records and holds none.
_NOT_RECORDS = ("CloudTrail-Digest", "OpenTrail-Manifest")


@dataclass(slots=True)
class ImportProgress:
    """How far an import is; changes while it runs."""

    files_total: int = 0
    files_done: int = 0
    bytes_total: int = 0
    """On disk; each counts once although it is read twice."""
    bytes_done: float = 0
    events: int = 0
    refused: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import."""

    files: int
    """Imported to their end by this run."""
    already: int
    """Files whose content an earlier, interrupted run (or another file) had imported."""
    events: int
    refused: int
    failed: list[tuple[str, str]]
    """Path and reason of each file that could not be read."""
    changed: list[str]
    """Files that changed while they were imported: import them again."""
    left_out: int
    """Files that hold no records by their place (digests, manifests)."""
    skipped: list[tuple[str, str]]
    """Path and reason of each file in a folder that does not look like JSON."""
    is_complete: bool
    """Everything was read; False after an interruption: run it again to go on."""


@dataclass(frozen=True, slots=True)
class _Step:
    batch: Batch
    reached: dict[str, Place | None]
    """Generation -> how far; None: done."""


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
    clock = clock or SystemClock()
    work = _Import(paths, state_dir, kind, account, region, mapping, redact, files)
    ticking = asyncio.ensure_future(_tick(clock, progress, work.progress))
    try:
        with ThreadPoolExecutor(1, "import") as thread:
            try:
                await _run(work, thread, spool_append, stop, crash)
            finally:
                work.is_stopping = True
    finally:
        ticking.cancel()
        work.journal.close()
    progress(work.progress)
    return work.result()


async def _run(
    work: "_Import",
    thread: ThreadPoolExecutor,
    spool_append: SpoolAppend,
    stop: asyncio.Event,
    crash: Callable[[str], None],
) -> None:
    async def next_step() -> _Step | None:
        return await asyncio.get_running_loop().run_in_executor(thread, next, steps, None)

    async def spool(step: _Step | None) -> bool:
        if step is None:
            return False
        positions = {key: place.offset for key, place in step.reached.items() if place}
        await spool_append(step.batch.payload, step.batch.events, step.batch.refused, positions)
        crash("agent.spooled")
        work.spooled(step)
        return True

    steps = iter(work.steps())
    pending = await unless_stopped(stop, next_step(), None)
    while pending is not None and not stop.is_set():

        async def both(step: _Step = pending) -> _Step | None:
            following, _ = await asyncio.gather(next_step(), spool(step))
            return following

        pending = await unless_stopped(stop, both(), None)
    if not stop.is_set():
        work.complete()


async def _tick(
    clock: Clock, progress: Callable[[ImportProgress], None], state: ImportProgress
) -> None:
    while True:
        await clock.sleep(_PROGRESS_SECONDS)
        progress(state)


class Journal:
    """How far each generation is in the spool."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self._path = directory / "import.journal"
        self._files = files
        self._reached: dict[str, Place | None] = {}
        files.make_directory(directory)
        text = b""
        if files.exists(self._path):
            text = files.read(self._path, 0, files.size(self._path))
        for line in text.decode("ascii", "replace").splitlines():
            self._read(line.split())
        self._file = files.open_append(self._path)
        if text and not text.endswith(b"\n"):
            self._file.write([b"\n"])  # A torn line must not take the next one with it.

    def reached(self, generation: str) -> Place | None:
        """Where to go on; None: nothing is left."""
        return self._reached.get(generation, Place())

    def write(self, reached: dict[str, Place | None]) -> None:
        """Remember; worth something only after `sync`, but lines may survive without."""
        lines = [
            f"{generation} {place.offset} {place.layout}\n" if place else f"{generation} done\n"
            for generation, place in reached.items()
        ]
        self._reached |= reached
        self._file.write(["".join(lines).encode()])

    def close(self) -> None:
        """Make what was written durable."""
        if self._files.exists(self._path):
            self._file.datasync()
        self._file.close()

    def remove(self) -> None:
        self._files.unlink(self._path)

    def _read(self, words: list[str]) -> None:
        match words:
            case [generation, "done"]:
                self._reached[generation] = None
            case [generation, offset, layout] if offset.isdigit():
                for known in get_args(Layout):
                    if known == layout:
                        self._reached[generation] = Place(int(offset), known)


@dataclass
class _Import:
    """The work of one import, step by step, in one thread."""

    paths: Sequence[Path]
    state_dir: Path
    kind: Kind
    account: str
    region: str
    mapping: MappingSettings | None
    redact: Redact
    files: Files
    progress: ImportProgress = field(default_factory=ImportProgress)
    is_stopping: bool = False

    def __post_init__(self) -> None:
        self.journal = Journal(self.state_dir, self.files)
        self._draft = Draft()
        self._touched: dict[str, Place | None] = {}
        self._failed: list[tuple[str, str]] = []
        self._changed: list[str] = []
        self._already = 0
        self._imported = 0
        self._left_out = 0
        self._skipped: list[tuple[str, str]] = []
        self._is_complete = False

    def steps(self) -> Iterator[_Step]:
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
        if not self._draft.is_empty:
            yield self._seal()

    def spooled(self, step: _Step) -> None:
        """The batch of `step` is durable."""
        self.progress.events += step.batch.events
        self.progress.refused += step.batch.refused
        self.journal.write(step.reached)

    def complete(self) -> None:
        """Everything is in the spool."""
        self._is_complete = True
        if not self._failed:
            self.journal.remove()

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
                is_left_out = any(part in _NOT_RECORDS for part in Path(folder).parts)
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

    def _import(self, path: Path) -> Iterator[_Step]:
        with path.open("rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            content = content_of(file.fileno())
            generation, length = self._name(content)
            if self.is_stopping:
                return
            place = (
                self._touched[generation] if generation in self._touched
                else self.journal.reached(generation)
            )  # fmt: skip
            if place is None:
                self._already += 1
                return
            yield from self._cut(path, content_of(file.fileno()), generation, length, place)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self._changed.append(str(path))

    def _name(self, content: Content) -> tuple[str, int]:
        """The generation of a content, and its length."""
        digest, length = hashlib.sha256(), 0
        while not self.is_stopping and (chunk := content.read(length, _CHUNK_BYTES)):
            digest.update(chunk)
            self._advance(content, length, len(chunk))
            length += len(chunk)
        return digest.hexdigest(), length

    def _advance(self, content: Content, offset: int, length: int) -> None:
        self.progress.bytes_done += content.raw_bytes(offset, length) / 2

    def _cut(
        self, path: Path, content: Content, generation: str, length: int, place: Place
    ) -> Iterator[_Step]:
        source = f"file:{path.absolute()}"
        mapping = Mapping(self.mapping, source) if self.mapping and self.kind == "mapped" else None
        redactor = redactor_of(self.redact, self.kind, source)
        origin = Origin(source, generation, "import", self.account, self.region, mapping, redactor)
        splitter = Splitter(
            place,
            count_events=Sight(self.account, self.region, redactor).count
            if mapping is None
            else None,
            containers=self.kind in ("auto", "cloudtrail"),
        )
        is_at_end = False
        while not is_at_end:
            if self.is_stopping:
                return
            offset = splitter.read_offset
            chunk = content.read(offset, min(_CHUNK_BYTES, length - offset))
            self._advance(content, offset, len(chunk))
            splitter.feed(chunk)
            is_at_end = splitter.read_offset >= length or not chunk
            for piece in splitter.pieces(final=is_at_end, more=not is_at_end):
                self._draft.add(origin, piece)
                self._touched[generation] = splitter.place
                if self._draft.is_full:
                    yield self._seal()
        if isinstance(content, GzipContent) and not content.is_complete():
            why = content.damage or "the file ends within a member"
            self._draft.add(origin, content.damaged_rest(length, why))
        self._touched[generation] = None
        self._imported += 1

    def _seal(self) -> _Step:
        step = _Step(self._draft.seal(), self._touched)
        self._draft, self._touched = Draft(), {}
        return step
