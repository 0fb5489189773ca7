"""Reading a store by position, from any process, beside its living writer.

A reader is told how far the store is durable (`through`) and never returns anything beyond: a frame
that a power cut could still take back must not be acted on. It keeps its place, so reading on costs
no search. Damage is returned as an entry of its own between the frames around it.
"""

import bisect
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from opentrail.files import DISK, Files
from opentrail.limits import FRAME_MAX_BYTES
from opentrail.segment.frame import (
    HEADER_BYTES,
    RELEASED,
    Damage,
    Frame,
    FrameError,
    Kind,
    decode_frame,
    frame_length,
    next_valid,
)
from opentrail.segment.store import segment_name, segment_positions

_FOOTER_TAIL_BYTES = 1 << 20


class SegmentReader:
    """A place in a store. Not safe for two threads at once."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self.directory = directory
        self.files = files
        self._firsts: list[int] = []
        self._next = 0
        """The position expected at `_offset` of segment `_segment`."""
        self._segment = -1
        self._offset = 0

    def first_position(self) -> int:
        """The lowest position on disk, 0 if there is no segment."""
        self._list()
        return self._firsts[0] if self._firsts else 0

    def read(self, after: int, through: int, max_bytes: int = 8 << 20) -> list[Frame | Damage]:
        """Frames and damage with positions in (after, through], in order, about `max_bytes`.

        Empty when there is nothing more yet. Positions that were dropped from the store come back
        as one Damage with reason `released`.
        """
        found: list[Frame | Damage] = []
        size = 0
        expected = after + 1
        while size < max_bytes and expected <= through:
            step = self._step(expected, through, max_bytes - size)
            if not step:
                break
            for entry in step:
                found.append(entry)
                if isinstance(entry, Frame):
                    size += len(entry.payload) + HEADER_BYTES
                    expected = entry.position + 1
                else:
                    expected = entry.last + 1
        return found

    def read_one(self, position: int) -> Frame | None:
        """The frame at a durable position, or None if it is damaged or gone."""
        for entry in self.read(position - 1, position, 1):
            if isinstance(entry, Frame) and entry.position == position:
                return entry
        return None

    def _step(self, expected: int, through: int, max_bytes: int) -> list[Frame | Damage]:
        """What comes next from one segment."""
        if not (self._segment >= 0 and self._next == expected):
            released = self._seek(expected, through)
            if released is not None:
                return [released]
        path = self.directory / segment_name(self._segment)
        try:
            data = self.files.read(path, self._offset, max(max_bytes, HEADER_BYTES))
            needed = frame_length(data, 0)
            if needed is not None and needed > len(data):
                data = self.files.read(path, self._offset, needed)
        except FileNotFoundError:
            self._segment = -1  # Dropped under us: look again.
            self._list()
            released = self._seek(expected, through)
            return [] if released is None else [released]
        begin = self._offset
        entries = list(self._parse(path, data, through))
        if entries:
            return entries
        if self._offset > begin or self._advance(expected, through):
            return self._step(expected, through, max_bytes)
        gap = self._missing(expected, through)
        return [gap] if gap is not None else []

    def _parse(self, path: Path, data: bytes, through: int) -> Iterator[Frame | Damage]:
        offset = 0
        while offset < len(data):
            try:
                frame, end, _ = decode_frame(data, offset)
            except FrameError as error:
                if error.torn and offset:
                    return  # The next read begins with it.
                found = self._behind_damage(path, through)
                if found is not None:
                    damage, self._offset, self._next = found
                    yield dataclasses.replace(damage, reason=error.reason)
                return
            if frame.kind in (Kind.HEAD, Kind.FOOTER):
                self._offset += end - offset
                offset = end
                continue
            if frame.position > through:
                return
            if frame.position > self._next:
                yield Damage(
                    self._next, frame.position - 1, "frames are missing", str(path), self._offset
                )
            self._next = frame.position + 1
            self._offset += end - offset
            offset = end
            yield frame

    def _behind_damage(self, path: Path, through: int) -> tuple[Damage, int, int] | None:
        """The damage at the current offset, and the offset and position at which to go on.

        None if what is there is only the end of what was written so far.
        """
        size = self.files.size(path)
        rest = self.files.read(path, self._offset, size - self._offset)
        start: int | None = 0
        while start is not None:
            start = next_valid(rest, start + 1)
            if start is None:
                break
            frame, _, _ = decode_frame(rest, start)
            if frame.kind is Kind.HEAD:
                continue
            if frame.position > self._next or frame.kind is Kind.FOOTER:
                last = min(frame.position - 1, through)
                if last < self._next:
                    return None
                damage = Damage(self._next, last, "", str(path), self._offset)
                return damage, self._offset + start, last + 1
            if frame.position == self._next:  # Only the HEAD was damaged: nothing is lost.
                self._offset += start
                return None
        following = self._following()
        last = min(through, following - 1) if following else through
        if last < self._next:
            return None
        damage = Damage(self._next, last, "", str(path), self._offset)
        return damage, self._offset + len(rest), last + 1

    # Places.

    def _list(self) -> None:
        self._firsts = segment_positions(self.files.list(self.directory))

    def _following(self) -> int | None:
        """First position of the segment behind the current one."""
        self._list()
        place = bisect.bisect_right(self._firsts, self._segment)
        return self._firsts[place] if place < len(self._firsts) else None

    def _advance(self, expected: int, through: int) -> bool:
        following = self._following()
        if following is None or following > through or following > expected:
            return False
        self._segment, self._offset, self._next = following, 0, expected
        return True

    def _missing(self, expected: int, through: int) -> Damage | None:
        """The positions between the end of this segment and the next one, if some were left out."""
        following = self._following()
        if following is None or expected >= following:
            return None
        last = min(following - 1, through)
        path = self.directory / segment_name(self._segment)
        self._segment, self._offset, self._next = following, 0, last + 1
        if last + 1 < following:
            self._segment = -1
        # Dropped under us together with this segment, or lost out of the middle.
        reason = RELEASED if expected < self._firsts[0] else "frames are missing"
        return Damage(expected, last, reason, str(path), 0)

    def _seek(self, expected: int, through: int) -> Damage | None:
        """Go to the frame `expected`; Damage if the store begins behind it."""
        self._list()
        if not self._firsts:
            self._segment = -1
            return None
        place = bisect.bisect_right(self._firsts, expected) - 1
        if place < 0:
            last = min(self._firsts[0] - 1, through)
            return Damage(expected, last, RELEASED, str(self.directory), 0)
        self._segment = self._firsts[place]
        self._next = self._segment
        self._offset = 0
        if expected > self._segment:
            self._offset, self._next = self._offset_of(expected)
        return None

    def _offset_of(self, expected: int) -> tuple[int, int]:
        """Offset and position of the last frame at or before `expected` that can be found fast."""
        path = self.directory / segment_name(self._segment)
        size = self.files.size(path)
        offsets = self._footer_offsets(path, size)
        if offsets:
            index = min(expected - self._segment, len(offsets) - 1)
            for candidate in range(index, -1, -1):
                try:
                    data = self.files.read(path, offsets[candidate], HEADER_BYTES)
                    length = frame_length(data, 0) or HEADER_BYTES
                    frame, _, _ = decode_frame(self.files.read(path, offsets[candidate], length), 0)
                except FrameError:
                    continue
                if frame.position <= expected:
                    return self._hop(path, size, offsets[candidate], frame.position, expected)
        return self._hop(path, size, 0, self._segment, expected)

    def _hop(
        self, path: Path, size: int, offset: int, position: int, expected: int
    ) -> tuple[int, int]:
        """Step from header to header up to `expected`, as far as the headers are usable."""
        while offset < size and position <= expected:
            block = self.files.read(path, offset, 1 << 18)
            inner = 0
            while inner + HEADER_BYTES <= len(block):
                length = frame_length(block, inner)
                if length is None:
                    return offset + inner, position
                kind = block[inner + 12]
                here = int.from_bytes(block[inner + 16 : inner + 24], "little")
                if kind not in (Kind.HEAD, Kind.FOOTER):
                    if here >= expected:
                        return offset + inner, min(position, expected)
                    position = here + 1
                inner += length
            if inner == 0:
                break
            offset += inner
        return offset, position

    def _footer_offsets(self, path: Path, size: int) -> list[int]:
        """Offsets of a sealed segment's frames by its footer; empty if it has none."""
        tail_begin = max(0, size - _FOOTER_TAIL_BYTES)
        tail = self.files.read(path, tail_begin, size - tail_begin)
        start = tail.rfind(b"\xff\x01\x00\x00")
        while start >= 0:
            begin = start - 12
            if begin >= 0:
                try:
                    frame, end, _ = decode_frame(tail, begin)
                except FrameError:
                    frame, end = None, 0
                if frame is not None and frame.kind is Kind.FOOTER and end == len(tail):
                    offsets: list[int] = json.loads(frame.payload)["offsets"]
                    return offsets
            start = tail.rfind(b"\xff\x01\x00\x00", 0, start)
        return []


assert FRAME_MAX_BYTES >= HEADER_BYTES
