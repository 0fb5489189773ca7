"""Which event days are written now, which only gathered, and when each is committed.

A live stream writes today and perhaps yesterday; an import brings every day of three months in
random order. So few days have the engine open at once. Today's and yesterday's always may. Others
are gathered in their records files and then, one after the other, opened, fed and committed: when
enough has gathered, when it has waited long enough and time allows, or when nothing else is to do.

Commits make events searchable and cost the same for few events as for many; small ones also leave
small segments, which are merged again and again (an event in commits of 2,000 costs twice what it
costs in commits of 10,000). So each open day is committed at `commit_seconds`, and less often, up
to `commit_max_seconds`, when commits take more than a third of the time, when events come fast,
and when what is read is old already: then it is more use to be done sooner. A large commit runs
beside the reading; a small one is waited for, and so is any when nothing else is to do.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from opentrail.clock import Clock
from opentrail.files import DISK, Files
from opentrail_aggregator.index.day import Counted, DayWriter
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.heap import give_back
from opentrail_aggregator.index.settings import IndexSettings

LIVE_DAYS_MAX = 128
"""Days held in any state; beyond, the least recently used is committed and closed."""
_IDLE_SECONDS = 30.0
_SLICE_EVENTS = 800
_FAST_EVENTS = 5_000
"""Events a second in a day up to which commits are frequent; at twice that they are rarest."""
_BESIDE_EVENTS = 5_000
"""A commit of so many goes on while further events are read."""
_READY_EVENTS_MAX = 30_000
"""So many may be made ready meanwhile: about 100 MB."""
_SHARE = 3.0
"""Commits and late days may take one part in this many of the time."""


class Days:
    """The days of one generation, for its one writer."""

    def __init__(
        self,
        day_directory: Callable[[str], Path],
        settings: IndexSettings,
        clock: Clock,
        *,
        resumable: bool = True,
        files: Files = DISK,
    ) -> None:
        self._directory = day_directory
        self._settings = settings
        self._clock = clock
        self._resumable = resumable
        self._files = files
        self._days: dict[str, DayWriter] = {}
        self._committed: dict[str, tuple[float, float]] = {}
        """When a day's last commit began, and how long it took."""
        self._late: str = ""
        self._late_began = 0.0
        self._late_again_at = 0.0
        self.recent_from = "9999-12-31"
        """Days from this one on (yesterday) are opened as soon as something comes for them."""
        self.is_behind = False
        """What comes now has waited long already."""
        self.counted = Counted()

    def gather(self, day: str, event: Event) -> bool:
        """Take an event; False if its day has it already."""
        writer = self._days.get(day) or self._make(day)
        if event.position <= writer.committed_position:
            return False
        writer.gather(event)
        return True

    def __contains__(self, day: str) -> bool:
        return day in self._days

    def first_uncommitted(self) -> int:
        """The least position of an event that is not committed, 0 if there is none."""
        return min(
            (day.first_uncommitted for day in self._days.values() if day.uncommitted_events),
            default=0,
        )

    def work(self, *, is_idle: bool) -> bool:
        """Open, feed and commit what is due; True if something of it was done."""
        now = self._clock.monotonic()
        worked = False
        for name, day in list(self._days.items()):
            if day.uncommitted_events:
                day.used_at = now
            if name == self._late:
                continue
            if not day.is_open and day.uncommitted_events and self._may_open(name):
                self._open(name, day)
            if day.is_open:
                worked |= self._work_open(name, day, now, is_idle=is_idle)
            elif not day.uncommitted_events and now - day.used_at > _IDLE_SECONDS:
                self.close(name)
        return self._work_late(now, is_idle=is_idle) or worked

    def _work_open(self, name: str, day: DayWriter, now: float, *, is_idle: bool) -> bool:
        if day.is_committing:
            if is_idle or day.is_commit_done or day.ready_events >= _READY_EVENTS_MAX:
                self._finish(name, day)
                return True
            return False
        if day.uncommitted_events and self._is_due(name, day, now):
            self._begin(name, day)
            if is_idle or day.uncommitted_events < _BESIDE_EVENTS:
                self._finish(name, day)
            return True
        if not day.uncommitted_events and now - day.used_at > _IDLE_SECONDS:
            self.close(name)
        return False

    def _work_late(self, now: float, *, is_idle: bool) -> bool:
        if not self._late:
            self._late = self._next_late(now, is_idle=is_idle)
            if not self._late:
                return False
            self._late_began = now
            self._open(self._late, self._days[self._late])
        day = self._days[self._late]
        if not day.feed(_SLICE_EVENTS):
            day.commit()
            day.pause()
            give_back()
            took = self._clock.monotonic() - self._late_began
            self._late_again_at = now + took * (_SHARE - 1)
            self._late = ""
        return True

    def _next_late(self, now: float, *, is_idle: bool) -> str:
        """The day to be fed next, if it is time for one."""
        waiting = {
            name: day
            for name, day in self._days.items()
            if day.uncommitted_events and not day.is_open
        }
        if not waiting:
            return ""
        fullest = max(waiting, key=lambda name: waiting[name].uncommitted_events)
        if waiting[fullest].uncommitted_events >= self._settings.gather_events:
            return fullest
        oldest = min(waiting, key=lambda name: waiting[name].first_uncommitted)
        waited = now - waiting[oldest].gathered_since
        if is_idle and waited >= self._settings.commit_seconds:
            return oldest
        if waited >= self._settings.gather_seconds and now >= self._late_again_at:
            return oldest
        return ""

    def flush(self) -> None:
        """Commit everything; afterwards `first_uncommitted` is 0."""
        for _ in self.flush_days(set(self._days)):
            continue

    def flush_days(self, names: set[str]) -> Iterator[str]:
        """Commit everything of some days, one after the other."""
        for name in sorted(names & set(self._days)):
            day = self._days[name]
            if day.is_committing:
                self._finish(name, day)
            if day.uncommitted_events:
                was_open = day.is_open and name != self._late
                self._open(name, day)
                self._begin(name, day)
                self._finish(name, day)
                if not was_open:
                    day.pause()
                    give_back()
            if name == self._late:
                self._late = ""
            yield name

    def finish_commits(self) -> None:
        """Wait for every commit that was begun."""
        for name, day in self._days.items():
            if day.is_committing:
                self._finish(name, day)

    def documents(self, day: str) -> int:
        """Documents committed in a day, which is opened for it."""
        return (self._days.get(day) or self._make(day)).committed_documents

    def close(self, name: str) -> None:
        """Let go of a day; what is not committed is forgotten."""
        day = self._days.pop(name)
        self._committed.pop(name, None)
        if self._late == name:
            self._late = ""
        was_open = day.is_open
        day.discard()
        if was_open:
            give_back()

    def uncommitted_events(self) -> int:
        return sum(day.uncommitted_events for day in self._days.values())

    def discard_all(self) -> None:
        """Forget everything that is not committed, whatever state the engine is in."""
        for day in self._days.values():
            day.discard()
        self._days.clear()
        self._committed.clear()
        self._late = ""

    def _make(self, name: str) -> DayWriter:
        if len(self._days) >= LIVE_DAYS_MAX:
            self._make_room()
        day = DayWriter(
            self._directory(name), self.counted, self._clock,
            resumable=self._resumable, files=self._files,
        )  # fmt: skip
        day.used_at = self._clock.monotonic()
        self._days[name] = day
        return day

    def _make_room(self) -> None:
        others = [name for name in self._days if name < self.recent_from] or list(self._days)
        name = min(others, key=lambda each: self._days[each].used_at)
        day = self._days[name]
        if day.uncommitted_events:
            self._open(name, day)
            day.commit()
        self.close(name)

    def _may_open(self, name: str) -> bool:
        if name >= self.recent_from:
            return True
        late = [each for each, day in self._days.items() if day.is_open and each < self.recent_from]
        return len(late) < max(1, self._settings.open_days - 1)

    def _open(self, name: str, day: DayWriter) -> None:
        is_recent = name >= self.recent_from
        settings = self._settings
        day.open(settings.memory_bytes if is_recent else settings.late_memory_bytes)

    def _is_due(self, name: str, day: DayWriter, now: float) -> bool:
        """Whether a day with something to commit has waited long enough."""
        least, most = self._settings.commit_seconds, self._settings.commit_max_seconds
        if name not in self._committed:
            return True
        began, took = self._committed[name]
        # Counted from the beginning, so that what is written meanwhile waits no longer than that.
        elapsed = now - began
        if elapsed < least or elapsed >= most:
            return elapsed >= most
        if self.is_behind:
            return False
        excess = day.uncommitted_events / elapsed / _FAST_EVENTS - 1
        return elapsed >= max(took * _SHARE, least + (most - least) * excess)

    def _begin(self, name: str, day: DayWriter) -> None:
        self._committed[name] = self._clock.monotonic(), 0.0
        day.begin_commit()

    def _finish(self, name: str, day: DayWriter) -> None:
        day.finish_commit()
        began, _ = self._committed[name]
        self._committed[name] = began, self._clock.monotonic() - began
