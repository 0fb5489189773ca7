"""From log and verdicts into the days of one generation, exactly once.

The state is written after the commits it speaks of, and says through which log position everything
is committed. Between the two a crash leaves events in days that the state does not know of; read
again, each is recognised by its position. How many events were too old is part of the same state,
so it is never counted twice; and a day whose folder is still there takes its old events, lest an
event that is in it be counted as expired when it is read again after midnight.
"""

from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from opentrail.batch import batch_events
from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.segment.frame import Damage
from opentrail_aggregator.consolidate.joined import read_joined
from opentrail_aggregator.consolidate.verdict import Verdict, VerdictReader
from opentrail_aggregator.index.days import Days
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.generation import Generation, State
from opentrail_aggregator.index.retention import day_of
from opentrail_aggregator.index.settings import IndexSettings
from opentrail_aggregator.wal.log import LogEntry, LogReader

READ_BYTES = 64 * 1024
"""Compressed, so one frame as a rule: what one step takes."""
_STATE_SECONDS = 0.5
_BEHIND_SECONDS = 3.0
"""Frames older than this are read by a follower that has something to catch up on."""


class Mark(NamedTuple):
    """What had been counted when a log position had been read."""

    position: int
    kept_total: int
    expired: int
    missing: int
    appended_at_ns: int


@dataclass(slots=True)
class Sources:
    """What a follower reads."""

    log: LogReader
    verdicts: VerdictReader


class Follower:
    """The writer of one generation."""

    def __init__(
        self,
        generation: Generation,
        sources: Sources,
        settings: IndexSettings,
        clock: Clock,
        *,
        known: Container[int] | None = None,
        damaged: Callable[[Damage], None] | None = None,
    ) -> None:
        """`known` are positions that are here already, in place of each day's greatest one."""
        self.generation = generation
        self._log, self._verdicts = sources.log, sources.verdicts
        self._clock = clock
        self._known = known
        self._damaged = damaged
        self.state = generation.read()
        self.days = Days(generation.day, settings, clock, resumable=known is None)
        self.read_through = self.state.position
        self._here = set(generation.days()) - set(self.state.dropping)
        self._marks: deque[Mark] = deque()
        state = self.state
        self._last = Mark(state.position, state.kept_total, state.expired, state.missing, 0)
        self._state_at = 0.0
        self.settled_once = False
        """Something was committed since this follower began."""

    @property
    def lag_began_ns(self) -> int:
        """When the oldest frame arrived that is read and not wholly searchable; 0 if none."""
        return self._marks[0].appended_at_ns if self._marks else 0

    @property
    def kept_total(self) -> int:
        """Events that the verdicts had kept through what was read."""
        return self._last.kept_total

    def read(self, oldest_day: str, max_bytes: int = READ_BYTES) -> int:
        """Take what comes next; the number of frames."""
        lost: deque[Damage] = deque()
        self.days.is_behind = False
        pairs = read_joined(
            self._log, self._verdicts, self.read_through, max_bytes, lost.append,
            # A rebuild does not look where the log begins; it counts those as missing.
            stops_at_released=self._known is None,
        )  # fmt: skip
        for entry, verdict in pairs:
            while lost and lost[0].last < entry.position:
                self._take_damage(lost.popleft())
            self._take(entry, verdict, oldest_day)
            age = self._clock.now_ns() - entry.appended_at_ns
            self.days.is_behind = age > _BEHIND_SECONDS * 1_000_000_000
        if not pairs:
            for damage in lost:
                self._take_damage(damage)
        return len(pairs)

    def _take(self, entry: LogEntry, verdict: Verdict, oldest_day: str) -> None:
        expired = self._take_events(entry, verdict, oldest_day) if verdict.groups else 0
        self._advance(entry.position, verdict.kept_total, expired, 0, entry.appended_at_ns)

    def _take_events(self, entry: LogEntry, verdict: Verdict, oldest_day: str) -> int:
        lines = batch_events(entry.payload).split(b"\n")
        first = entry.position << 16
        days: dict[int, str] = {}
        derived, known, gather = verdict.derived, self._known, self.days.gather
        expired = 0
        for ordinal, group in verdict.kept():
            day = days.get(group.hour)
            if day is None:
                day = days[group.hour] = self.day(group.hour, oldest_day)
            if not day:
                expired += 1
                continue
            position = first | ordinal
            if known is not None and position in known:
                continue
            event = Event(
                lines[ordinal], derived.get(ordinal, ""), verdict.time(ordinal),
                group.account, group.region, position,
            )  # fmt: skip
            gather(day, event)
        return expired

    def day(self, hour: int, oldest_day: str) -> str:
        """The day of an hour; empty if it is expired."""
        day = day_of(hour * 3600)
        if day < oldest_day and day not in self._here:
            return ""
        self._here.add(day)
        return day

    def _take_damage(self, damage: Damage) -> None:
        """Frames that cannot be read any more: what was kept of them is missing here."""
        kept, total = 0, self._last.kept_total
        after = damage.first - 1
        while after < damage.last and (batch := self._verdicts.read(after)):
            for verdict in batch:
                if verdict.position <= damage.last:
                    kept += sum(1 for _ in verdict.kept())
                    total = verdict.kept_total
            after = batch[-1].position
        self._advance(damage.last, total, 0, kept, self._clock.now_ns())
        if self._damaged is not None:
            self._damaged(damage)

    def _advance(self, position: int, kept: int, expired: int, missing: int, at_ns: int) -> None:
        last = self._last
        self._last = Mark(position, kept, last.expired + expired, last.missing + missing, at_ns)
        self._marks.append(self._last)
        self.read_through = position

    def skip_to(self, position: int, kept_total: int, expired: int, missing: int) -> None:
        """Everything through `position` was brought in, or counted, by other means."""
        self._advance(position, kept_total, expired, missing, self._clock.now_ns())

    def settle(self, *, is_forced: bool = False) -> bool:
        """Write the state if enough is committed and it is time; True if it was written."""
        first = self.days.first_uncommitted()
        through = (first >> 16) - 1 if first else self.read_through
        now = self._clock.monotonic()
        if not self._marks or self._marks[0].position > through:
            return False
        if not is_forced and now < self._state_at:
            return False
        mark = self._marks[0]
        while self._marks and self._marks[0].position <= through:
            mark = self._marks.popleft()
        self.write(
            position=mark.position, kept_total=mark.kept_total,
            expired=mark.expired, missing=mark.missing,
        )  # fmt: skip
        self._state_at = now + _STATE_SECONDS
        self.settled_once = True
        return True

    def write(self, **changes: object) -> None:
        """Make a changed state durable."""
        crash_point("index.before.state")
        state = msgspec.structs.replace(self.state, **changes)
        self.generation.write(state)
        crash_point("index.state.written")
        self.state = state

    def flush(self) -> None:
        """Commit everything that was read, and write the state."""
        self.days.flush()
        self.settle(is_forced=True)

    def drop_days_before(self, oldest_day: str) -> list[str]:
        """Drop the days before `oldest_day`; their events are expired from now on."""
        gone = [name for name in sorted(self._here) if name < oldest_day]
        if not gone:
            return []
        self.flush()
        documents = sum(self.days.documents(name) for name in gone)
        # One write moves the events from the days into the ledger; folders go after it.
        last = self._last
        self._last = last._replace(expired=last.expired + documents)
        self.write(expired=self.state.expired + documents, dropping=tuple(gone))
        self.finish_dropping()
        return gone

    def finish_dropping(self) -> None:
        """Remove the folders of days that are already counted as expired."""
        for name in self.state.dropping:
            if name in self.days:
                self.days.close(name)
            self._here.discard(name)
            self.generation.remove_day(name)
            crash_point("index.day.dropped")
        if self.state.dropping:
            self.write(dropping=())

    def discard(self) -> None:
        """Forget what is not committed; the state on disk stays as it is."""
        self.days.discard_all()


__all__ = ["READ_BYTES", "Follower", "Sources", "State"]
