"""The log on disk: groups of frames, each group durable or not there.

    commit    1. append all frames to the open segment      crash: a torn tail, cut at next start
              2. one fdatasync                              crash: durable but never acknowledged;
                                                            the sender sends again, the ledger of
                                                            ingest knows the number by then
              3. publish the position                       crash: the next start publishes it
              4. the caller acknowledges

**A failed write or sync is final for what it covered.** The kernel may have dropped those pages and
yet show them to whoever reads the file, so a second sync proves nothing. The segment is closed, cut
back to what earlier syncs had covered, and opened again by the same recovery as after a crash.

**No position is used twice.** If frames that readers may have seen are gone (a damaged tail), the
lost positions are filled with control frames of type `lost`: a reader whose cursor stands behind
them would otherwise never see the new frames that took their place.

One thread at a time; `writer` gives it one.
"""

import errno
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.limits import FRAME_MAX_BYTES
from opentrail.segment.frame import HEADER_BYTES
from opentrail.segment.store import SUFFIX, SegmentStore, segment_name, segment_positions
from opentrail_aggregator.wal.log import Committed, LogError, LogFullError, NewFrame, control_frame
from opentrail_aggregator.wal.published import Published, UnsharedPosition

_WHOLE_FILE = re.compile(rf"{re.escape(SUFFIX)}(-\d+)?\.broken$")
"""A whole file that was set aside, and not a torn tail."""

FRAMES_MAX_PER_SEGMENT = 200_000
"""Keeps the footer, which lists every frame, well below the largest frame."""
LOST_MAX_POSITIONS = 2_000_000
"""More positions than this are not filled: then another log's cursors are lying about."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskLog:
    """The one writer of a log directory."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        segment_bytes: int,
        files: Files = DISK,
        published: Published | None = None,
        floor: int = 0,
        first_in_segment: Callable[[], NewFrame | None] = lambda: None,
        on_rotated: Callable[[], None] = lambda: None,
    ) -> None:
        self.directory = directory
        self.findings: list[str] = []
        """What opening found and survived; a torn tail after a kill is nothing unusual."""
        self.damage: list[str] = []
        """Those of them that cost something, or need somebody to look."""
        self.failure: LogError | None = None
        """Why nothing can be appended now; None if the log is open."""
        self.durable_position = 0
        self.size_bytes = 0
        self.log_id = ""
        self._clock = clock
        self._files = files
        self._segment_max_bytes = segment_bytes
        self._published = published or UnsharedPosition()
        self._first_in_segment = first_in_segment
        self._on_rotated = on_rotated
        self._segment_bytes = 0
        self._segment_frames = 0
        self._store: SegmentStore | None = None
        self._abandoned: SegmentStore | None = None
        """Closed by a failure and not cut yet."""
        crash_point("wal.opening")
        # The floor in the cursors is taken once: what is published is never behind it afterwards.
        self._open(max(floor, self._published.read()))

    @property
    def first_position(self) -> int:
        return self._open_store().first_position if self._store else self.durable_position + 1

    def commit(self, frames: Sequence[NewFrame]) -> Committed:
        """Append `frames` and sync; says which of them are durable now."""
        if self._store is None:
            return Committed([], self.failure)
        positions: list[int] = []
        store = self._store
        try:
            for frame in frames:
                positions.append(self._append(frame))
            store.sync()
        except Exception as error:  # Whatever it was, frames without a sync must not stay behind.
            durable = [position for position in positions if position <= store.synced_position]
            self._fail(error)
            return Committed(durable, self.failure)
        crash_point("wal.synced")
        self._publish()
        return Committed(positions)

    def reopen(self) -> bool:
        """After a failure: cut what was never durable and open again. True if that worked."""
        if self._store is not None:
            return True
        crash_point("wal.reopening")
        try:
            if self._abandoned is not None:
                self._abandoned.abandon()
                self._abandoned = None
            self._open(self.durable_position)
        except Exception as error:  # Tried again; a log that stays closed says why.
            self.failure = self._describe(error)
            return False
        self.failure = None
        return True

    def drop_before(self, position: int) -> int:
        """Release whole segments that hold only positions below `position`; how many went."""
        if self._store is None:
            return 0
        dropped = self._store.drop_before(position)
        if dropped:
            self.size_bytes = self._store.size_bytes
        return dropped

    def close(self) -> None:
        """Release the files. Everything committed is durable; there is nothing else."""
        if self._store is not None:
            self._store.close()
            self._store = None
        self._published.close()

    # Writing.

    def _append(self, frame: NewFrame) -> int:
        size = HEADER_BYTES + frame.size
        is_over = self._segment_bytes + size > self._segment_max_bytes
        if (is_over and self._segment_frames) or self._segment_frames >= FRAMES_MAX_PER_SEGMENT:
            self._rotate()
        return self._write(frame)

    def _write(self, frame: NewFrame) -> int:
        position = self._open_store().append(
            frame.kind,
            frame.payload,
            now_ns=self._clock.now_ns(),
            meta=frame.meta,
            events=frame.events,
            refused=frame.refused,
        )
        self._count(frame)
        return position

    def _count(self, frame: NewFrame) -> None:
        size = HEADER_BYTES + frame.size
        self._segment_bytes += size
        self._segment_frames += 1
        self.size_bytes += size

    def _rotate(self) -> None:
        crash_point("wal.sealing")
        self._open_store().rotate(self._clock.now_ns())
        crash_point("wal.rotated")
        self._measure()
        first = self._first_in_segment()
        if first is not None:
            self._write(first)
        self._on_rotated()

    def _publish(self) -> None:
        self.durable_position = self._open_store().synced_position
        self._published.publish(self.durable_position)
        crash_point("wal.published")

    def _fail(self, error: Exception) -> None:
        store = self._open_store()
        self.failure = self._describe(error)
        # What earlier syncs covered (rotating syncs, too) is durable whatever failed afterwards.
        self.durable_position = store.synced_position
        store.close()
        self._store, self._abandoned = None, store
        self._published.publish(self.durable_position)

    def _describe(self, error: Exception) -> LogError:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return LogFullError(
                f"{self.directory}: no space left behind position {self.durable_position}; agents "
                "keep their batches: free space on this disk, or lower log.max_bytes"
            )
        return LogError(
            f"{self.directory}: writing failed behind position {self.durable_position} "
            f"({error!r}); nothing was acknowledged: check the disk, the log opens again by itself"
        )

    # Opening.

    def _open(self, floor: int) -> None:
        store = SegmentStore.open(
            self.directory,
            self._files,
            # This class rotates, since it has things to do when it does; the store never.
            segment_bytes=self._segment_max_bytes + 2 * FRAME_MAX_BYTES,
        )
        self._store = store
        self.log_id = store.store_id
        self.findings += store.findings.notes
        self.damage += _damage(store, self.directory)
        self._measure()
        crash_point("wal.recovered")
        self._fill_lost(floor)
        self._publish()

    def _fill_lost(self, floor: int) -> None:
        store = self._open_store()
        first_lost = store.next_position
        if first_lost > floor:
            return
        count = floor - first_lost + 1
        if count > LOST_MAX_POSITIONS:
            raise DamagedError(
                f"{self.directory}: the log ends at position {first_lost - 1}, yet its readers "
                f"have been at {floor}: these are not the files they read; put the missing "
                "segments back, or move the whole home away and begin a new one"
            )
        lost = control_frame("lost", {"first": first_lost, "last": floor})
        for _ in range(count):
            self._append(lost)
        store.sync()
        self.damage.append(
            f"{self.directory}: positions {first_lost} to {floor} were durable and are gone (the "
            "disk lost them); they stay empty, and agents name the batches in them when they "
            "connect"
        )
        self.findings.append(self.damage[-1])

    def _measure(self) -> None:
        store = self._open_store()
        last = segment_positions(self._files.list(self.directory))[-1]
        self.size_bytes = store.size_bytes
        self._segment_bytes = self._files.size(self.directory / segment_name(last))
        self._segment_frames = store.next_position - last

    def _open_store(self) -> SegmentStore:
        if self._store is None:
            raise self.failure or LogError(f"{self.directory}: the log is closed; open it again")
        return self._store


def _damage(store: SegmentStore, directory: Path) -> list[str]:
    """What recovering found beside a torn tail."""
    found = store.findings
    damage = [
        f"{name}: a file that is not what it should be was set aside"
        for name in found.set_aside
        if _WHOLE_FILE.search(name)
    ]
    if found.holes:
        damage.append(
            f"{directory}: {found.holes} damaged stretches in the last segment; the frames around "
            "them are read, see `opentrail-aggregator wal check`"
        )
    return damage
