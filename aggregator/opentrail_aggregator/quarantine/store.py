"""Writing the quarantine: consolidate's alone, in the order of the log.

An item is durable before the verdict that says so. After a crash between the two the same frame is
judged again and gives the same items; `append` knows those it has and leaves them out, so nothing
is ever counted twice.
"""

from collections.abc import Iterator
from pathlib import Path

from opentrail.errors import OpenTrailError
from opentrail.files import DISK, Files
from opentrail.segment.frame import Frame, Kind
from opentrail.segment.reader import SegmentReader
from opentrail.segment.store import SegmentStore
from opentrail_aggregator.quarantine.item import META, Item, Replayed, encode_item
from opentrail_aggregator.quarantine.settings import QuarantineSettings

FRAMES_MAX_PER_SEGMENT = 50_000


_STRIDE = 1_000


class QuarantineFullError(OpenTrailError):
    """There is no room for what has to go into quarantine."""


class QuarantineStore:
    """The one writer of HOME/quarantine. Not safe for two threads at once."""

    def __init__(
        self,
        directory: Path,
        settings: QuarantineSettings,
        after_position: int,
        files: Files = DISK,
    ) -> None:
        """Open; all items of log positions up to `after_position` are there already."""
        self._settings = settings
        self._store = SegmentStore.open(directory, files, segment_bytes=2 * settings.segment_bytes)
        self.notes = list(self._store.findings.notes)
        self._known: set[tuple[int, int]] = set()
        """Log position and number (-1 for a mark) of what is here behind the last verdict."""
        for frame in self._frames_from_end(directory, files, after_position):
            position, number, events = META.unpack(frame.meta)
            if position > after_position:
                self._known.add((position, number if events else -1))
        self._size = self._store.size_bytes
        self._segment_bytes = 0
        self._segment_frames = 0
        self._dirty = False

    def _frames_from_end(self, directory: Path, files: Files, after_position: int) -> list[Frame]:
        """All frames of log positions that may lie behind the last durable verdict."""
        found: list[Frame] = []
        through = self._store.next_position - 1
        # Backwards in strides: the items wanted are the last ones, if there are any.
        while through >= self._store.first_position:
            after = max(through - _STRIDE, self._store.first_position - 1)
            stride = list(_frames(SegmentReader(directory, files), after, through))
            found += stride
            if stride and META.unpack(stride[0].meta)[0] <= after_position:
                break
            through = after
        return found

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self._size

    @property
    def events(self) -> int:
        """Events in quarantine since the store began."""
        return self._store.appended_events

    def append(self, items: list[Item]) -> int:
        """Add those that are not there yet; how many were. Durable after `sync`."""
        added = 0
        for item in items:
            number = int(item.id.rpartition("-")[2])
            if (item.position, number) in self._known:
                continue
            self._refuse_beyond_limit()
            self._put(item, item.events, item.at)
            self._known.add((item.position, number))
            added += 1
        return added

    def mark_replayed(self, ids: list[str], position: int, at: int) -> None:
        """Note that items were submitted again, as the control frame at `position` says."""
        if (position, -1) in self._known:
            return
        self._put(Replayed(ids=ids, position=position, at=at), 0, at)
        self._known.add((position, -1))

    def settled(self) -> None:
        """All that was appended has a durable verdict and will not be appended again."""
        self._known.clear()

    def _refuse_beyond_limit(self) -> None:
        if self._size >= self._settings.max_bytes:
            raise QuarantineFullError(
                f"{self._store.directory}: {self._size} bytes of {self._settings.max_bytes}; "
                "nothing more is judged until there is room: find out who sends this "
                "(`opentrail quarantine list`), then raise quarantine.max_bytes"
            )

    def _put(self, item: Item | Replayed, events: int, at: int) -> None:
        meta, payload = encode_item(item)
        size = len(meta) + len(payload) + 64
        full = self._segment_bytes + size > self._settings.segment_bytes
        if (full and self._segment_frames) or self._segment_frames >= FRAMES_MAX_PER_SEGMENT:
            self._store.rotate(at)
            self._segment_bytes = self._segment_frames = 0
        self._store.append(Kind.ITEM, payload, meta=meta, events=events, now_ns=at)
        self._segment_bytes += size
        self._segment_frames += 1
        self._size += size
        self._dirty = True

    def sync(self) -> None:
        """Return when all items survive a power cut."""
        if self._dirty:
            self._store.sync()
            self._dirty = False

    def close(self) -> None:
        """Release the files."""
        self._store.close()


def _frames(reader: SegmentReader, after: int, through: int) -> Iterator[Frame]:
    while after < through:
        read = reader.read(after, through)
        if not read:
            return
        for entry in read:
            if isinstance(entry, Frame):
                yield entry
                after = entry.position
            else:
                after = entry.last
