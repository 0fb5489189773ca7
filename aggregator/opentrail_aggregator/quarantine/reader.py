"""Looking into the quarantine, from any process.

Figures come from the frames themselves, not from anyone's counter: `count_through` is one side of
a sum that is checked. Sealed segments do not change, so each is read once and remembered by its
size and time.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opentrail.files import DISK, Files
from opentrail.segment.frame import Kind
from opentrail.segment.scan import scan_segment
from opentrail.segment.store import segment_name, segment_positions
from opentrail_aggregator.quarantine.item import META, Item, Replayed, decode_item

if TYPE_CHECKING:
    from opentrail_aggregator.home import Home


class Quarantine:
    """The quarantine of a home, for reading."""

    def __init__(self, home: "Home", files: Files = DISK) -> None:
        self.directory = home.quarantine
        self._files = files
        self._counts: dict[Path, tuple[int, _Count]] = {}
        """Segment -> its size when it was read, and what it holds."""

    def count_through(self, position: int) -> int:
        """Events in quarantine that came up to log position `position`."""
        return sum(self._count(path).through(position) for path in self._segments())

    def list(
        self, *, reason: str = "", after: str = "", limit: int = 50, newest_first: bool = True
    ) -> Sequence[tuple[Item, bool]]:
        """Items and whether each was replayed; `after` is the id of the last one seen."""
        replayed = self.replayed()
        found = []
        seen = not after
        for item in self._items(newest_first):
            if seen and (not reason or item.reason == reason):
                found.append((item, item.id in replayed))
                if len(found) >= limit:
                    break
            seen = seen or item.id == after
        return found

    def keys(self) -> Iterator[tuple[int, int, bytes]]:
        """Log position, number in the frame and key of each item that has one."""
        for item in self._items(False):
            if item.key:
                number = int(item.id.rpartition("-")[2])
                yield item.position, number, bytes.fromhex(item.key)

    def show(self, item_id: str) -> Item | None:
        """The item of that id, None if there is none."""
        return next((item for item in self._items(True) if item.id == item_id), None)

    def replayed(self) -> set[str]:
        """Ids of items that were submitted again."""
        return {
            item_id
            for entry in self._entries(False)
            if isinstance(entry, Replayed)
            for item_id in entry.ids
        }

    def _items(self, newest_first: bool) -> Iterator[Item]:
        return (entry for entry in self._entries(newest_first) if isinstance(entry, Item))

    def _entries(self, newest_first: bool) -> "Iterator[Item | Replayed]":
        for path in self._segments(newest_first):
            frames = scan_segment(self._files.read(path, 0, self._files.size(path))).frames
            for _, frame in reversed(frames) if newest_first else frames:
                if frame.kind is Kind.ITEM:
                    yield decode_item(frame.payload)

    def _segments(self, newest_first: bool = False) -> Sequence[Path]:
        firsts = segment_positions(self._files.list(self.directory))
        paths = [self.directory / segment_name(first) for first in firsts]
        return paths[::-1] if newest_first else paths

    def _count(self, path: Path) -> "_Count":
        size = self._files.size(path)
        known = self._counts.get(path)
        if known is None or known[0] != size:
            counted = _Count()
            for _, frame in scan_segment(self._files.read(path, 0, size)).frames:
                if frame.kind is Kind.ITEM:
                    counted.add(META.unpack(frame.meta)[0], frame.events)
            known = self._counts[path] = (size, counted)
        return known[1]


class _Count:
    """Log positions of one segment's items, ascending, and the sum of their events."""

    def __init__(self) -> None:
        self._positions = array("Q")
        self._sums = array("Q")

    def add(self, position: int, events: int) -> None:
        self._positions.append(position)
        self._sums.append(events + (self._sums[-1] if self._sums else 0))

    def through(self, position: int) -> int:
        place = bisect_right(self._positions, position)
        return self._sums[place - 1] if place else 0
