"""A spool on a disk: append, acknowledge, number anew, and come back after anything.

Order of every step, and what a crash between two of them leaves:

    append       frames, then sync         before the sync returned nothing was promised
    acknowledge  standing, then drop       a crash between leaves segments that the next open drops
    new epoch    standing                  one slot of one file: the old numbers or the new ones

The standing never runs ahead of the segments: if at opening it does (a segment file was lost, with
what had been acknowledged), its positions are skipped, because a new batch under an old number
would count as acknowledged before it was sent.

Everything here blocks and belongs to one thread; `writer` owns that thread.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.errors import NewerFormatError
from opentrail.files import DISK, Files
from opentrail.segment.cursor import CursorFile
from opentrail.segment.frame import HEADER_BYTES, Kind
from opentrail.segment.reader import SegmentReader
from opentrail.segment.store import SegmentStore, segment_positions
from opentrail_agent.spool.standing import EPOCH_BYTES, Standing, decode_standing

SEGMENTS = "segments"
STANDING = "standing"
LOCK = "lock"
DEFAULT_SEGMENT_BYTES = 16 << 20
"""Opening reads the last segment whole, and an agent has little memory."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch on its way into the spool."""

    payload: bytes
    events: int
    refused: int


def new_epoch() -> bytes:
    return secrets.token_bytes(EPOCH_BYTES)


class Spool:
    """The one writer of a spool. Not safe for two threads at once."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        files: Files = DISK,
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        keeps_until_archived: bool = False,
        make_epoch: Callable[[], bytes] = new_epoch,
    ) -> None:
        """Open or make the spool in `directory`; the caller holds its lock.

        `keeps_until_archived`: what is acknowledged is dropped only once `archive` named it, too.
        """
        self.directory = directory
        self.notes: list[str] = []
        """What was found wrong and survived, for a person."""
        self._clock = clock
        self._files = files
        self._segment_bytes = segment_bytes
        self._keeps_until_archived = keeps_until_archived
        self._make_epoch = make_epoch
        files.make_directory(directory)
        self._cursor = CursorFile(directory / STANDING, files)
        self.standing = self._read_standing()
        self._store = self._open_store()
        self._skip_acknowledged()
        self.held_bytes = self._store.size_bytes
        """Bytes on disk; heads and footers of new segments are counted a little later."""
        self._drop()

    @property
    def durable(self) -> int:
        """Position through which every batch survives a power cut."""
        return self._store.synced_position

    @property
    def next_position(self) -> int:
        return self._store.next_position

    @property
    def first_position(self) -> int:
        """The lowest position that is still on disk."""
        return self._store.first_position

    def append(self, batches: Iterable[Sealed]) -> int:
        """Keep `batches`, durably; the position of the last.

        After an OSError some of them, from the first on, may be durable: `reopen` and compare
        `next_position` before anything is said to anyone.
        """
        segment = self._store.segment_first
        for batch in batches:
            self._store.append(
                Kind.BATCH,
                batch.payload,
                events=batch.events,
                refused=batch.refused,
                now_ns=self._clock.now_ns(),
            )
            self.held_bytes += HEADER_BYTES + len(batch.payload)
        crash_point("agent.spool.appended")
        self._store.sync()
        crash_point("agent.spool.synced")
        if self._store.segment_first != segment:
            self.held_bytes = self._store.size_bytes
            self._drop()  # A segment that was acknowledged before it was sealed.
        return self._store.synced_position

    def acknowledge(self, position: int) -> None:
        """The aggregator holds everything up to `position`: forget it durably, then drop it."""
        assert position <= self.durable, "an acknowledgement of what was never durable here"
        self._change(self.standing.acknowledge(position))
        crash_point("agent.spool.standing_written")
        self._drop()
        crash_point("agent.spool.dropped")

    def archive(self, position: int) -> None:
        """Everything up to `position` is archived, too."""
        self._change(self.standing.archive(min(position, self.durable)))
        self._drop()

    def bind(self, log_id: str, *, acknowledged: int | None = None) -> None:
        """These numbers belong to the log `log_id` from now on; it may hold less of them."""
        self._change(self.standing.bind(log_id, acknowledged=acknowledged))

    def begin_epoch(self, *, after: int, lost: int = 0) -> None:
        """Send everything behind position `after` under new numbers."""
        crash_point("agent.spool.epoch")
        self._change(self.standing.begin_epoch(self._make_epoch(), after=after, lost=lost))
        crash_point("agent.spool.epoch_written")

    def reopen(self) -> None:
        """After an OSError: give up what was not synced and read what is really there.

        Raises OSError while the disk still fails; nothing is lost by calling it again.
        """
        self._store.abandon()
        self._store = self._open_store()
        self._skip_acknowledged()
        self.held_bytes = self._store.size_bytes
        self._drop()

    def reader(self) -> SegmentReader:
        """A reader of the frames, for another thread."""
        return SegmentReader(self.directory / SEGMENTS, self._files)

    def close(self) -> None:
        self._store.close()

    # Opening.

    def _read_standing(self) -> Standing:
        payload = self._cursor.read()
        if payload is not None:
            standing = decode_standing(payload)
            if standing is None:
                raise NewerFormatError(
                    f"{self._cursor.path}: written by a later version; use that version of "
                    "OpenTrail, or move the folder away to begin a new spool"
                )
            return standing
        first = min(segment_positions(self._files.list(self.directory / SEGMENTS)), default=1)
        standing = Standing(self._make_epoch(), base=first - 1, acknowledged=first - 1)
        if self._cursor.damaged or first > 1:
            self.notes.append(
                f"{self._cursor.path}: {'damaged' if self._cursor.damaged else 'missing'}; all "
                f"batches from position {first} on are sent again under a new epoch"
            )
        self._cursor.write(standing.encode())
        return standing

    def _open_store(self) -> SegmentStore:
        store = SegmentStore.open(
            self.directory / SEGMENTS,
            self._files,
            segment_bytes=self._segment_bytes,
            first_position=self.standing.acknowledged + 1,
        )
        self.notes += store.findings.notes
        return store

    def _skip_acknowledged(self) -> None:
        last = self._store.next_position - 1
        if last < self.standing.acknowledged:
            self.notes.append(
                f"{self.directory / SEGMENTS}: ends at position {last}, but "
                f"{self.standing.acknowledged} was acknowledged: a segment file is missing; "
                "the positions between are left out"
            )
            self._store.skip_to(self.standing.acknowledged + 1, self._clock.now_ns())

    # Changing.

    def _change(self, standing: Standing) -> None:
        if standing != self.standing:
            self._cursor.write(standing.encode())
            self.standing = standing

    def _drop(self) -> None:
        through = self.standing.acknowledged
        if self._keeps_until_archived:
            through = min(through, self.standing.archived)
        if self._store.drop_before(through + 1):
            self.held_bytes = self._store.size_bytes
