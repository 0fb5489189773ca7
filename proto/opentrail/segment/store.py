"""Writing a store: append, sync, rotate, drop, and recover after any crash.

Order of every step, and what a crash between two of them leaves:

    append   buffered, then written; nothing is promised until `sync` returned
    rotate   1. sync the frames   2. FOOTER, synced   3. next file with HEAD, synced, name synced
             crash after 2: the next open finds a sealed tail and makes the next file
             crash in 3: a tail without a whole HEAD holds no frames, and its HEAD is written anew
    drop     whole sealed segments, oldest first, each unlink durable before the next
             crash between: fewer segments are gone; positions stay contiguous

Opening reads the HEAD of each segment and all of the last one: it takes as long with 5 GB as with
50 MB. A torn tail is cut; anything else that is damaged is set aside under `.broken` or stepped
over, counted in `findings`, and never wiped.
"""

import itertools
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentrail.errors import DamagedError
from opentrail.files import DISK, AppendFile, Files
from opentrail.formats import newer
from opentrail.limits import SEGMENT_BYTES
from opentrail.segment.aside import aside_of
from opentrail.segment.frame import FrameError, Kind, decode_frame, encode_frame
from opentrail.segment.scan import SegmentScan, scan_segment

FORMAT = 1
SUFFIX = ".seg"
_BUFFER_BYTES = 1 << 20
_HEAD_READ_BYTES = 4096


def segment_name(first_position: int) -> str:
    """The file name of the segment that begins with `first_position`."""
    return f"{first_position:020d}{SUFFIX}"


def segment_positions(names: list[str]) -> list[int]:
    """First positions of the segments among `names`, ascending."""
    return sorted(int(name[:-4]) for name in names if name.endswith(SUFFIX) and name[:-4].isdigit())


@dataclass(slots=True)
class Findings:
    """What opening a store found wrong; all of it was survived."""

    torn_bytes: int = 0
    set_aside: list[str] = field(default_factory=list)
    """Files kept under another name because they are not what they should be."""
    holes: int = 0
    notes: list[str] = field(default_factory=list)


class SegmentStore:
    """The one writer of a store. Not safe for two threads at once."""

    def __init__(
        self, directory: Path, files: Files, segment_bytes: int, first_position: int
    ) -> None:
        self.directory = directory
        self.files = files
        self.segment_bytes = segment_bytes
        self.store_id = ""
        self.findings = Findings()
        self.next_position = first_position
        self.synced_position = first_position - 1
        """Everything up to here is durable."""
        self.appended_events = 0
        self.appended_refused = 0
        """Totals since the store began; dropping segments does not lower them."""
        self._file: AppendFile | None = None
        self._segment_first = first_position
        self._offsets: list[int] = []
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._synced_bytes = 0

    @classmethod
    def open(
        cls,
        directory: Path,
        files: Files = DISK,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        first_position: int = 1,
        store_id: str = "",
        totals: tuple[int, int] = (0, 0),
    ) -> "SegmentStore":
        """Open or make the store in `directory`; the last three are for a new one.

        `totals` are the events and refusals that count as appended before `first_position`.
        """
        store = cls(directory, files, segment_bytes, first_position)
        store.appended_events, store.appended_refused = totals
        files.make_directory(directory)
        store._recover(store_id)
        return store

    @property
    def first_position(self) -> int:
        """The lowest position still here (the next one if none is)."""
        positions = segment_positions(self.files.list(self.directory))
        return positions[0] if positions else self.next_position

    @property
    def segment_first(self) -> int:
        """First position of the segment that is written to; grows when one is sealed."""
        return self._segment_first

    @property
    def size_bytes(self) -> int:
        """Bytes on disk of all segments."""
        return sum(
            self.files.size(self.directory / segment_name(first))
            for first in segment_positions(self.files.list(self.directory))
        )

    def append(
        self,
        kind: Kind,
        payload: bytes,
        *,
        now_ns: int,
        meta: bytes = b"",
        events: int = 0,
        refused: int = 0,
    ) -> int:
        """Add a frame and return its position; durable only after `sync`."""
        position = self.next_position
        frame = encode_frame(
            kind,
            position,
            payload,
            meta=meta,
            events=events,
            refused=refused,
            appended_at_ns=now_ns,
            synced=self._synced_bytes,
        )
        size = sum(map(len, frame))
        if self._offset() + size > self.segment_bytes and self._offsets:
            self.rotate(now_ns)
            return self.append(
                kind, payload, now_ns=now_ns, meta=meta, events=events, refused=refused
            )
        self._offsets.append(self._offset())
        self._buffer += frame
        self._buffered_bytes += size
        self.next_position += 1
        self.appended_events += events
        self.appended_refused += refused
        if self._buffered_bytes >= _BUFFER_BYTES:
            self._write()
        return position

    def sync(self) -> None:
        """Return when every frame appended so far survives a power cut.

        After an OSError nothing is known of the frames that were not synced: close this store and
        open it again to learn what is really there.
        """
        self._write()
        file = self._open_file()
        file.datasync()
        self._synced_bytes = file.size
        self.synced_position = self.next_position - 1

    def rotate(self, now_ns: int) -> None:
        """Seal the current segment and begin the next one."""
        self._seal(now_ns)
        self._begin_segment(now_ns)

    def skip_to(self, position: int, now_ns: int) -> None:
        """Let the next frame have `position`, leaving out the numbers before it.

        For an owner who knows that those positions had been used and are lost: giving them to
        other frames would show readers that already passed them something else.
        """
        if position <= self.next_position:
            return
        self._seal(now_ns)
        self.findings.notes.append(
            f"{self.directory}: positions {self.next_position} to {position - 1} are left out"
        )
        self.next_position = position
        self.synced_position = position - 1
        self._begin_segment(now_ns)

    def _seal(self, now_ns: int) -> None:
        self.sync()
        footer = json.dumps(
            {
                "offsets": self._offsets,
                "events": self.appended_events,
                "refused": self.appended_refused,
            }
        ).encode()
        file = self._open_file()
        file.write(
            encode_frame(
                Kind.FOOTER,
                self.next_position,
                footer,
                appended_at_ns=now_ns,
                synced=self._synced_bytes,
            )
        )
        # Sealed before the next file exists: two unsealed segments are never left behind.
        file.datasync()
        file.close()

    def drop_before(self, position: int) -> int:
        """Remove whole segments that hold only positions below `position`; how many went."""
        firsts = segment_positions(self.files.list(self.directory))
        dropped = 0
        for first, following in itertools.pairwise(firsts):
            if following > position or first == self._segment_first:
                break
            self.files.unlink(self.directory / segment_name(first))
            dropped += 1
        return dropped

    def close(self) -> None:
        """Release the files; what was not synced stays unpromised."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        """After an OSError: close, and cut off what was not synced. May be called again.

        A failed sync can leave pages in the cache that the kernel takes for clean: opening would
        read them as if they were there, a second sync would succeed, and a power cut would take
        them. So the store is opened again only behind this cut.
        """
        self.close()
        path = self.directory / segment_name(self._segment_first)
        if self.files.exists(path) and self.files.size(path) > self._synced_bytes:
            file = self.files.open_append(path)
            try:
                file.truncate(self._synced_bytes)
                file.datasync()
            finally:
                file.close()

    # Writing.

    def _offset(self) -> int:
        return self._open_file().size + self._buffered_bytes

    def _open_file(self) -> AppendFile:
        if self._file is None:
            raise DamagedError(f"{self.directory}: the store is closed; open it again")
        return self._file

    def _write(self) -> None:
        if self._buffer:
            buffers, self._buffer, self._buffered_bytes = self._buffer, [], 0
            self._open_file().write(buffers)

    def _begin_segment(self, now_ns: int) -> None:
        path = self.directory / segment_name(self.next_position)
        self._file = self.files.open_append(path)
        self._segment_first = self.next_position
        self._synced_bytes = 0
        self._offsets = []
        self._write_head(now_ns)

    def _write_head(self, now_ns: int) -> None:
        head = json.dumps(
            {
                "format": FORMAT,
                "store": self.store_id,
                "first": self._segment_first,
                "events": self.appended_events,
                "refused": self.appended_refused,
            }
        ).encode()
        file = self._open_file()
        file.write(encode_frame(Kind.HEAD, self._segment_first, head, appended_at_ns=now_ns))
        file.datasync()
        self._synced_bytes = file.size

    # Recovering.

    def _recover(self, store_id: str) -> None:
        firsts = self._check_heads()
        self.store_id = self.store_id or store_id or secrets.token_hex(16)
        if not firsts:
            self._begin_segment(0)
            return
        first = firsts[-1]
        path = self.directory / segment_name(first)
        scan = scan_segment(self.files.read(path, 0, self.files.size(path)))
        self._segment_first = first
        self._take_totals(scan, firsts)
        self.next_position = self._position_after(scan, first)
        self.synced_position = self.next_position - 1
        self._file = self.files.open_append(path)
        self._cut_tail(path, scan)
        self.findings.holes += len(scan.holes)
        self._offsets = [offset for offset, _ in scan.frames]
        if scan.footer is not None:
            self._file.close()
            self._begin_segment(scan.footer.appended_at_ns)
        elif self._file.size == 0:
            self._write_head(0)
        else:
            # What was read may still be in the page cache only: make it durable before anyone
            # is told that it is there.
            self._file.datasync()
            self._synced_bytes = self._file.size

    def _check_heads(self) -> list[int]:
        """First positions of the usable segments; foreign or misnamed ones are set aside."""
        usable: list[int] = []
        for first in segment_positions(self.files.list(self.directory)):
            path = self.directory / segment_name(first)
            head = read_head(self.files, path)
            if head is not None:
                self.store_id = self.store_id or str(head["store"])
                if head["first"] != first or head["store"] != self.store_id:
                    self._set_aside(path, "its head names another position or another store")
                    continue
            usable.append(first)
        return usable

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = aside_of(self.files, path)
        self.files.rename(path, aside)
        self.findings.set_aside.append(str(aside))
        self.findings.notes.append(f"{path}: set aside as {aside.name}: {reason}")

    def _take_totals(self, scan: SegmentScan, firsts: list[int]) -> None:
        before = {"events": 0, "refused": 0}
        if scan.head is not None:
            before = json.loads(scan.head.payload)
        elif len(firsts) > 1:
            previous = self.directory / segment_name(firsts[-2])
            before = read_totals(self.files, previous)
        self.appended_events = before["events"] + sum(f.events for _, f in scan.frames)
        self.appended_refused = before["refused"] + sum(f.refused for _, f in scan.frames)

    def _position_after(self, scan: SegmentScan, first: int) -> int:
        if scan.footer is not None:
            return scan.footer.position
        return scan.frames[-1][1].position + 1 if scan.frames else first

    def _cut_tail(self, path: Path, scan: SegmentScan) -> None:
        if not scan.torn_bytes:
            return
        tail = self.files.read(path, scan.valid_bytes, scan.torn_bytes)
        if any(tail) and scan.torn_reason != "the file ends inside a frame header":
            # Most likely a write cut short; kept, since it could also be the last frame damaged.
            aside = aside_of(self.files, Path(f"{path}.{scan.valid_bytes}"), tail)
            self.files.replace(aside, tail)
            self.findings.set_aside.append(str(aside))
        self.findings.torn_bytes += scan.torn_bytes
        self.findings.notes.append(
            f"{path}: cut at byte {scan.valid_bytes} ({scan.torn_reason}); "
            f"{scan.torn_bytes} bytes behind it were never acknowledged"
        )
        self._open_file().truncate(scan.valid_bytes)
        self._open_file().datasync()


def read_head(files: Files, path: Path) -> dict[str, Any] | None:
    """The HEAD of a segment as a dict, or None if it cannot be read."""
    try:
        frame, _, _ = decode_frame(files.read(path, 0, _HEAD_READ_BYTES), 0)
    except FrameError:
        return None
    if frame.kind is not Kind.HEAD:
        return None
    head: dict[str, Any] = json.loads(frame.payload)
    if head["format"] > FORMAT:
        raise newer(path, head["format"], FORMAT)
    return head


def read_totals(files: Files, path: Path) -> dict[str, int]:
    """Events and refusals from the store's beginning through the end of a sealed segment."""
    scan = scan_segment(files.read(path, 0, files.size(path)))
    if scan.footer is not None:
        totals: dict[str, int] = json.loads(scan.footer.payload)
        return totals
    before = json.loads(scan.head.payload) if scan.head is not None else {"events": 0, "refused": 0}
    return {
        "events": before["events"] + sum(frame.events for _, frame in scan.frames),
        "refused": before["refused"] + sum(frame.refused for _, frame in scan.frames),
    }
