"""From log and verdicts to documents: what is sent next, and which place in the log that makes.

Reads frames in order and makes a document of each kept event whose day is held; the others are
counted as expired. A day whose index is there takes its late events even when it is about to be
dropped, so that an event in it is never counted as expired when it is read again after midnight.
"""

from collections import deque
from collections.abc import Callable, Iterator

from opentrail.batch import batch_events
from opentrail.identity import event_key
from opentrail.segment.frame import Damage
from opentrail_aggregator.consolidate.joined import read_joined
from opentrail_aggregator.consolidate.verdict import Verdict, VerdictReader
from opentrail_aggregator.index.archived import ArchiveSource, indexable
from opentrail_aggregator.index.catch_up import kept_before
from opentrail_aggregator.index.document import Event, event_id_in
from opentrail_aggregator.index.retention import day_of
from opentrail_aggregator.opensearch.documents import Document
from opentrail_aggregator.opensearch.place import Place
from opentrail_aggregator.opensearch.template import index_of
from opentrail_aggregator.wal.log import LogEntry, LogReader

READ_BYTES = 64 * 1024
"""Compressed, so one frame as a rule: what one step takes."""


class Reading:
    """Where reading is, and what was read and not yet handed on."""

    def __init__(
        self,
        log: LogReader,
        verdicts: VerdictReader,
        place: Place,
        days: set[str],
        damaged: Callable[[Damage], None],
        *,
        has_words: bool = True,
    ) -> None:
        self._log, self._verdicts, self._damaged = log, verdicts, damaged
        self._log_id = log.log_id
        self._has_words = has_words
        self.place = place
        """What is accounted for once everything handed on is in."""
        self.days = days
        """Days that have an index, or will have one by what was handed on."""
        self.documents: list[tuple[str, Document]] = []
        self.size = 0
        self.appended_at_ns = 0

    def take(self) -> tuple[list[tuple[str, Document]], Place]:
        """What was read since the last time."""
        documents, self.documents, self.size = self.documents, [], 0
        return documents, self.place

    def read(self, oldest_day: str) -> int:
        """Take what comes next in the log; the number of frames."""
        lost: deque[Damage] = deque()
        pairs = read_joined(
            self._log, self._verdicts, self.place.position, READ_BYTES, lost.append,
            stops_at_released=True,
        )  # fmt: skip
        for entry, verdict in pairs:
            while lost and lost[0].last < entry.position:
                self._take_damage(lost.popleft())
            expired = self._take(entry, verdict, oldest_day) if verdict.groups else 0
            self.appended_at_ns = entry.appended_at_ns
            self.place = self.place.further(entry.position, verdict.kept_total, expired=expired)
        if not pairs:
            for damage in lost:
                self._take_damage(damage)
        return len(pairs)

    def _take(self, entry: LogEntry, verdict: Verdict, oldest_day: str) -> int:
        lines = batch_events(entry.payload).split(b"\n")
        first = entry.position << 16
        days: dict[int, str] = {}
        expired = 0
        for ordinal, group in verdict.kept():
            day = days.get(group.hour)
            if day is None:
                day = days[group.hour] = self._day(day_of(group.hour * 3600), oldest_day)
            if not day:
                expired += 1
                continue
            event = Event(
                lines[ordinal], verdict.derived.get(ordinal, ""), verdict.time(ordinal),
                group.account, group.region, first | ordinal,
            )  # fmt: skip
            self._add(day, event, verdict.key(ordinal))
        return expired

    def _add(self, day: str, event: Event, key: bytes) -> None:
        document = Document(
            event, key.hex(), index_of(day), self._log_id, has_words=self._has_words
        )
        self.documents.append((day, document))
        self.size += document.size

    def _day(self, day: str, oldest_day: str) -> str:
        if day < oldest_day and day not in self.days:
            return ""
        self.days.add(day)
        return day

    def _take_damage(self, damage: Damage) -> None:
        """Frames that cannot be read any more: what was kept of them is missing here."""
        kept, total = 0, self.place.kept
        after = damage.first - 1
        while after < damage.last and (batch := self._verdicts.read(after)):
            for verdict in batch:
                if verdict.position <= damage.last:
                    kept += sum(1 for _ in verdict.kept())
                    total = verdict.kept_total
            after = batch[-1].position
        self.place = self.place.further(damage.last, total, missing=kept)
        self._damaged(damage)

    def catch_up(
        self, first: int, archive: ArchiveSource | None, oldest_day: str
    ) -> Iterator[None]:
        """Bring in what the log released before position `first`; yields between events.

        The place moves only at the end: interrupted anywhere this is simply begun again.
        """
        expired = present = 0
        if archive is not None:
            after = self.place.position << 16 | 0xFFFF
            for archived in archive.events(after, (first << 16) - 1):
                event = indexable(archived)
                if event is None:
                    continue
                day = self._day(day_of(event.time_s // 3600 * 3600), oldest_day)
                if day:
                    event_id = event.derived_id or event_id_in(event.record)
                    hour = event.time_s // 3600
                    self._add(day, event, event_key(event.account, event_id, hour))
                    present += 1
                else:
                    expired += 1
                yield
        kept = kept_before(self._verdicts, first)
        missing = max(0, kept - self.place.kept - expired - present)
        self.place = self.place.further(first - 1, kept, expired=expired, missing=missing)
