"""Reading the log on disk, from any process, beside the ingest that writes it.

`received_through` answers from the counts in the heads of the segments, so it stays true after
older segments were released. Events in a damaged stretch were received and acknowledged: they
count as received at the first position of the damage, and `lost_in` says how many they are, so
that the sums still close when they are put to the account of the damage.
"""

import bisect
from collections import deque
from pathlib import Path
from typing import Protocol

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.segment.frame import Damage, Frame
from opentrail.segment.reader import SegmentReader
from opentrail.segment.store import read_head, read_totals, segment_name, segment_positions
from opentrail_aggregator.wal.log import LogEntry, entry_of
from opentrail_aggregator.wal.published import Published, PublishedPosition

_WALK_BYTES = 8 << 20
_KNOWN_MAX = 8
"""Who counts asks for several positions in turn, which lie as far apart as the stages do; walking
to each from the head of its segment would be most of the work of a status."""


class _HasLog(Protocol):
    @property
    def log(self) -> Path: ...


class DiskLogReader:
    """One reader's view of a log directory; not safe for two threads at once."""

    def __init__(
        self, directory: Path, files: Files = DISK, published: Published | None = None
    ) -> None:
        self.directory = directory
        self._files = files
        self._published = published or PublishedPosition(directory)
        self._reader = SegmentReader(directory, files)
        self._walker = SegmentReader(directory, files)
        self._log_id = ""
        self._known: deque[tuple[int, int, int]] = deque(maxlen=_KNOWN_MAX)
        """Positions, and the events and refusals through each."""

    @property
    def log_id(self) -> str:
        """The log's own id; empty while there is no log yet."""
        if not self._log_id:
            for first in self._firsts():
                head = read_head(self._files, self.directory / segment_name(first))
                if head is not None:
                    self._log_id = str(head["store"])
                    break
        return self._log_id

    def durable_position(self) -> int:
        return self._published.read()

    def first_position(self) -> int:
        return self._reader.first_position()

    def read(self, after: int, max_bytes: int = _WALK_BYTES) -> list[LogEntry | Damage]:
        """Entries behind `after` up to the durable position; empty when there are none yet.

        What cannot be read comes as a Damage in its place; what was released already as a Damage
        with reason `released`.
        """
        found = self._reader.read(after, self.durable_position(), max_bytes)
        return [entry_of(item) if isinstance(item, Frame) else item for item in found]

    def backlog_bytes(self, after: int) -> int:
        """Bytes on disk of the segments that hold positions behind `after` (whole segments)."""
        firsts = self._firsts()
        begin = max(bisect.bisect_right(firsts, after + 1) - 1, 0)
        total = 0
        for first in firsts[begin:]:
            try:
                total += self._files.size(self.directory / segment_name(first))
            except FileNotFoundError:
                continue  # Released between the listing and now: no backlog any more.
        return total

    def received_through(self, position: int) -> tuple[int, int]:
        """Events and refusals received from the log's beginning through `position`."""
        if position <= 0:
            return 0, 0
        firsts = self._firsts()
        place = bisect.bisect_right(firsts, position + 1) - 1
        if place < 0:
            raise DamagedError(
                f"{self.directory}: position {position} was released; the log begins at "
                f"{firsts[0] if firsts else 'no position at all'}"
            )
        at, events, refused = self._before(firsts, place)
        if at == position:
            return events, refused
        known = [each for each in self._known if at <= each[0] <= position]
        if known:
            at, events, refused = max(known)
        return self._walk(at, events, refused, position, firsts, place)

    def lost_in(self, damage: Damage) -> tuple[int, int]:
        """Events and refusals that were received in a damaged stretch, as the heads count them."""
        before = self.received_through(damage.first - 1)
        through = self.received_through(damage.last)
        return through[0] - before[0], through[1] - before[1]

    def _walk(
        self, at: int, events: int, refused: int, position: int, firsts: list[int], place: int
    ) -> tuple[int, int]:
        damaged = False
        while at < position:
            step = self._walker.read(at, position, _WALK_BYTES)
            if not step:
                break
            for item in step:
                if isinstance(item, Frame):
                    at = item.position
                    events += item.events
                    refused += item.refused
                else:
                    at, damaged = item.last, True
        if damaged:
            lost = self._lost(firsts, place)
            return events + lost[0], refused + lost[1]
        self._known.append((at, events, refused))
        return events, refused

    def _lost(self, firsts: list[int], place: int) -> tuple[int, int]:
        """What the damage in one segment cost: its counted total less what can be read of it."""
        first, events, refused = self._before(firsts, place)
        if place + 1 < len(firsts):
            last, events_after, refused_after = self._before(firsts, place + 1)
        else:
            return 0, 0  # The open segment's total is what could be read of it when it was opened.
        reader = SegmentReader(self.directory, self._files)
        while first < last and (step := reader.read(first, last, _WALK_BYTES)):
            for item in step:
                if isinstance(item, Frame):
                    first = item.position
                    events += item.events
                    refused += item.refused
                else:
                    first = item.last
        return max(0, events_after - events), max(0, refused_after - refused)

    def _before(self, firsts: list[int], place: int) -> tuple[int, int, int]:
        """The position before a segment, and the totals through it."""
        path = self.directory / segment_name(firsts[place])
        head = read_head(self._files, path)
        if head is None and place:
            head = read_totals(self._files, self.directory / segment_name(firsts[place - 1]))
        if head is None:
            head = {"events": 0, "refused": 0}
        return firsts[place] - 1, int(head["events"]), int(head["refused"])

    def _firsts(self) -> list[int]:
        return segment_positions(self._files.list(self.directory))


def open_reader(home: _HasLog) -> DiskLogReader:
    """The log of a home, for reading."""
    return DiskLogReader(home.log)
