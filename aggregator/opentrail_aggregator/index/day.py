"""One event day while it is being written: its records, then their terms, then a commit.

The life of an event here: *gathered* (in memory, until its block is full), *sealed* (its block is
in the records file, not yet durable), *fed* (its document is with the engine), *committed* (records
durable, then the engine's commit). Days that are not open are sealed only, so an import that brings
ninety days in random order costs ninety blocks in memory and no engine; they are fed later from
their own blocks.

Nothing is committed twice: the engine's commit is all or nothing, and the greatest position in it
is read back when the day is opened, so what is brought again from the log is known by its position.
While a commit runs, what comes is made into documents that wait for its end: *ready*.
A failure of any kind is answered by `discard`: the day forgets what was not committed.
"""

from collections import deque
from pathlib import Path

import tantivy
import zstandard

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files
from opentrail_aggregator.index.commit import RunningCommit
from opentrail_aggregator.index.document import Event, document_of, fallback_of
from opentrail_aggregator.index.generation import TERMS
from opentrail_aggregator.index.records import (
    BLOCK_MAX_ENTRIES,
    BLOCK_RAW_BYTES,
    RecordsFile,
    RecordsReader,
    entries_of,
    pack_entry,
    place,
)
from opentrail_aggregator.index.schema import create_or_open


class Counted:
    """What the writing of days adds up to, for metrics."""

    def __init__(self) -> None:
        self.normalised = 0
        self.fallback = 0


class DayWriter:
    """The one writer of one event day."""

    def __init__(
        self,
        directory: Path,
        counted: Counted,
        clock: Clock,
        *,
        resumable: bool = True,
        files: Files = DISK,
    ) -> None:
        self.directory = directory
        self._clock = clock
        self._counted = counted
        self._files = files
        files.make_directory(directory / TERMS)
        self._index = create_or_open(directory / TERMS)
        searcher = self._index.searcher()
        self.committed_documents = searcher.num_docs
        last_place = _greatest(searcher, "l")
        self.committed_position = (_greatest(searcher, "p") or 0) if resumable else -1
        """Events through this position are here already; a rebuild brings them in any order."""
        self._records = RecordsFile(directory, files)
        self._records.cut_behind(last_place)
        self._writer: tantivy.IndexWriter | None = None
        self._entries: list[bytes] = []
        self._events: list[Event] = []
        self._entry_bytes = 0
        self._unfed: deque[int] = deque()
        self._commit: RunningCommit | None = None
        self._ready: list[tuple[int, list[Event], list[str]]] = []
        self.ready_events = 0
        """Documents that wait for the end of a commit; `unfed_events` counts them, too."""
        self.unfed_events = 0
        """Gathered or sealed, not with the engine."""
        self.fed_events = 0
        """With the engine, not committed."""
        self._first_unfed = 0
        """The position of the first event that no commit was begun for, 0 if there is none."""
        self.gathered_since = 0.0
        """When that event came."""
        self.used_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    @property
    def is_committing(self) -> bool:
        """A commit was begun and not finished."""
        return self._commit is not None

    @property
    def is_commit_done(self) -> bool:
        """`finish_commit` would not wait."""
        return self._commit is not None and self._commit.is_done

    @property
    def uncommitted_events(self) -> int:
        return self.unfed_events + self.fed_events + (self._commit.events if self._commit else 0)

    @property
    def first_uncommitted(self) -> int:
        """The position of the first event that is not committed, 0 if there is none."""
        return self._commit.first_position if self._commit else self._first_unfed

    def gather(self, event: Event) -> None:
        """Take an event that is not here yet."""
        if not self._first_unfed:
            self._first_unfed = event.position
            self.gathered_since = self._clock.monotonic()
        entry = pack_entry(event)
        self._entries.append(entry)
        self._entry_bytes += len(entry)
        self.unfed_events += 1
        if self.is_open:
            self._events.append(event)
        if self._entry_bytes >= BLOCK_RAW_BYTES or len(self._entries) >= BLOCK_MAX_ENTRIES:
            self.seal()

    def seal(self) -> None:
        """Put what is gathered into the records file, and before the engine if the day is open."""
        if not self._entries:
            return
        offset = self._records.append(self._entries)
        count, events = len(self._entries), self._events
        self._entries, self._events, self._entry_bytes = [], [], 0
        if len(events) == count and not self._unfed:
            self._feed(offset, events)
        else:
            self._unfed.append(offset)

    def open(self, memory_bytes: int) -> None:
        """Start the engine's writer; a day that is open stays so."""
        if self._writer is None:
            self._writer = self._index.writer(heap_size=memory_bytes, num_threads=1)

    def feed(self, events_max: int) -> bool:
        """Feed sealed blocks, about `events_max` events of them; True if some are left."""
        self.seal()
        reader, decompressor = None, zstandard.ZstdDecompressor()
        fed = 0
        try:
            while self._unfed and fed < events_max:
                reader = reader or RecordsReader(self.directory)
                events = entries_of(reader.block(self._unfed[0], decompressor))
                self._feed(self._unfed.popleft(), events)
                fed += len(events)
        finally:
            if reader is not None:
                reader.close()
        return bool(self._unfed)

    def _feed(self, offset: int, events: list[Event]) -> None:
        documents = []
        for ordinal, event in enumerate(events):
            document, marks = document_of(event, place(offset, ordinal))
            if marks:
                self._counted.normalised += 1
            documents.append(document)
        if self._commit is None:
            self._add(offset, events, documents)
        else:
            self._ready.append((offset, events, documents))
            self.ready_events += len(events)

    def _add(self, offset: int, events: list[Event], documents: list[str]) -> None:
        assert self._writer is not None, "a day is opened before it is fed"
        add = self._writer.add_json
        for ordinal, document in enumerate(documents):
            try:
                add(document)
            except ValueError:
                # Whatever the engine holds against it, the event is not lost to search.
                self._counted.fallback += 1
                add(fallback_of(events[ordinal], place(offset, ordinal)))
        self.unfed_events -= len(events)
        self.fed_events += len(events)

    def commit(self) -> None:
        """Make everything gathered durable and visible to readers. The day must be open."""
        self.begin_commit()
        self.finish_commit()

    def begin_commit(self) -> None:
        """Begin to commit everything gathered; what comes from now on is not part of it."""
        assert self._commit is None
        while self.feed(1 << 30):
            continue
        if not self.fed_events:
            return
        assert self._writer is not None
        # The records first: a document must never point at bytes that a power cut took.
        self._records.sync()
        crash_point("index.records.synced")
        self._commit = RunningCommit(self._writer, self.fed_events, self._first_unfed)
        self.fed_events = 0
        self._first_unfed = 0

    def finish_commit(self) -> None:
        """Wait for the commit that was begun, if one was, and feed what came meanwhile."""
        if self._commit is None:
            return
        self._commit.finish()
        crash_point("index.day.committed")
        self.committed_documents += self._commit.events
        self._commit = None
        ready, self._ready, self.ready_events = self._ready, [], 0
        for offset, events, documents in ready:
            self._add(offset, events, documents)

    def pause(self) -> None:
        """Give the engine's memory and threads back, once its merges are done.

        Everything must be committed.
        """
        assert not self.fed_events
        assert self._commit is None
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def discard(self) -> None:
        """Forget what was not committed and let go of everything; never raises."""
        if self._commit is not None:
            self._commit.wait()
            self._commit = None
        self._writer = None
        try:
            self._records.close()
        except OSError:
            self._entries = []


def _greatest(searcher: tantivy.Searcher, name: str) -> int | None:
    found = searcher.search(
        tantivy.Query.all_query(), limit=1, count=False, order_by_field=name
    ).hits
    return int(found[0][0]) if found else None
