"""Reading back the record that came first, when another comes under its key.

From the log while its segment is there, else from the archive. What is found is only believed if it
has the key that is asked for: positions mean nothing in a log that was made anew.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentrail.batch import BatchError
from opentrail.identity import event_key, hour_of
from opentrail.segment.frame import Damage
from opentrail_aggregator.consolidate.examine import admitted_at
from opentrail_aggregator.consolidate.verdict import Group

if TYPE_CHECKING:
    from opentrail_aggregator.wal.log import LogEntry, LogReader

ArchiveLookup = Callable[[int, Group, bytes], bytes | None]
"""Event position, group (its region is the later event's), key -> the record's bytes."""

CACHED_FRAMES = 16


def in_no_archive(position: int, group: Group, key: bytes) -> bytes | None:
    """Stands in until there is an archive to ask."""
    return None


class FirstRecords:
    """Finds records by their event position; keeps the last few frames, compressed."""

    def __init__(self, log: "LogReader", archive: ArchiveLookup = in_no_archive) -> None:
        self._log = log
        self._archive = archive
        self._frames: OrderedDict[int, LogEntry | None] = OrderedDict()
        self._records: OrderedDict[int, bytes | None] = OrderedDict()

    def find(self, position: int, group: Group, key: bytes) -> bytes | None:
        """The bytes of the event at `position` with that key, None if they cannot be reached."""
        if position in self._records:
            return self._records[position]
        record = self._in_log(position, key)
        if record is None:
            record = self._archive(position, group, key)
        self._records[position] = record
        if len(self._records) > CACHED_FRAMES:
            self._records.popitem(last=False)
        return record

    def _in_log(self, position: int, key: bytes) -> bytes | None:
        entry = self._frame(position >> 16)
        if entry is None or not entry.is_batch:
            return None
        try:
            found = admitted_at(entry.payload, position & 0xFFFF)
        except BatchError:
            return None
        if found is None:
            return None
        line, what = found
        is_it = event_key(what.account, what.event_id, hour_of(what.time_s)) == key
        return line if is_it else None

    def _frame(self, position: int) -> "LogEntry | None":
        if position not in self._frames:
            found = self._log.read(position - 1, 1)
            entry = found[0] if found else None
            if isinstance(entry, Damage) or (entry is not None and entry.position != position):
                entry = None
            self._frames[position] = entry
            if len(self._frames) > CACHED_FRAMES:
                self._frames.popitem(last=False)
        return self._frames[position]
