"""Making the index anew while searches go on.

A new generation grows beside the one that answers, from the log, or from the archive and then the
log; when it has caught up, one rename lets it answer and the live index role takes it over. A
rebuild that is interrupted leaves a generation that nobody reads; the next one removes it and
begins anew. While it runs, the log keeps what it still has to read.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail.files import FileLock
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.archived import ArchiveSource, indexable
from opentrail_aggregator.index.catch_up import kept_before
from opentrail_aggregator.index.follower import Follower, Sources
from opentrail_aggregator.index.generation import Generation, Generations
from opentrail_aggregator.index.retention import oldest_day
from opentrail_aggregator.index.settings import IndexSections
from opentrail_aggregator.wal.disk_reader import open_reader

LOCK = "rebuild.lock"
_NOBODY = 1 << 62
_CLOSE_FRAMES = 2


class RebuildError(OpenTrailError):
    """The index cannot be made from what was asked."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild is."""

    stage: Literal["archive", "log", "switched"]
    events: int
    position: int
    through: int
    missing: int = 0


class Positions:
    """A set of positions, small and searched by halves."""

    def __init__(self) -> None:
        self._values = array("Q")
        self._sorted = True

    def add(self, position: int) -> None:
        self._values.append(position)
        self._sorted = False

    def sort(self) -> None:
        self._values = array("Q", sorted(self._values))
        self._sorted = True

    def __contains__(self, position: object) -> bool:
        assert self._sorted
        assert isinstance(position, int)
        index = bisect_left(self._values, position)
        return index < len(self._values) and self._values[index] == position

    def __len__(self) -> int:
        return len(self._values)


def held_position(generations: Generations, home: Home) -> int:
    """The position that a running rebuild still needs; beyond every position if none runs."""
    current = generations.current()
    newer = [name for name in generations.names() if current is None or name > current.name]
    if not newer:
        return _NOBODY
    lock = FileLock(home.index / LOCK)
    try:
        lock.acquire()
    except OpenTrailError:
        return Generation(home.index / newer[-1]).read().position
    lock.release()
    return _NOBODY


class Rebuild:
    """One rebuild, from its beginning to the switch."""

    def __init__(
        self,
        home: Home,
        settings: IndexSections,
        clock: Clock,
        *,
        source: Literal["log", "archive"],
        archive: ArchiveSource | None = None,
    ) -> None:
        self._home = home
        # Nobody waits for a single event here, and few large segments are read and merged least.
        self._settings = replace(
            settings.index,
            commit_seconds=settings.index.commit_max_seconds,
            late_memory_bytes=settings.index.memory_bytes,
        )
        self._clock = clock
        self._source = source
        self._archive = archive
        self._days = settings.retention.days
        self._log = open_reader(home)
        self._verdicts = VerdictReader(home)
        self._generations = Generations(home.index)
        self._seen = Positions()

    def run(self) -> Generator[Progress, None, None]:
        """Do all of it, a little between two values; raises RebuildError if it cannot be done."""
        self._refuse_the_impossible()
        lock = FileLock(self._home.index / LOCK)
        lock.acquire()
        try:
            current = self._generations.current()
            if current is not None:
                self._generations.remove_others(
                    {name for name in self._generations.names() if name <= current.name}
                )
            generation = self._generations.create()
            generation.write(generation.read().of_log(self._log.log_id))
            follower = Follower(
                generation, Sources(self._log, self._verdicts), self._settings, self._clock,
                known=self._seen,
            )  # fmt: skip
            oldest = oldest_day(self._clock.now_ns(), self._days)
            if self._source == "archive":
                yield from self._from_archive(follower, oldest)
            yield from self._from_log(follower, oldest)
            follower.flush()
            follower.discard()
            self._generations.switch_to(generation)
            yield self._progress("switched", follower)
        finally:
            lock.release()

    def _refuse_the_impossible(self) -> None:
        if self._source == "archive" and self._archive is None:
            raise RebuildError("index rebuild: there is no archive here to read from")
        first = self._log.first_position()
        if self._source == "log" and first > 1:
            raise RebuildError(
                f"index rebuild: the log begins at position {first}, earlier events are only in "
                "the archive; use --from archive"
            )

    def _from_archive(self, follower: Follower, oldest: str) -> Iterator[Progress]:
        assert self._archive is not None
        first = max(1, self._log.first_position())
        border = first << 16
        expired = present = events = 0
        for archived in self._archive.events():
            event = indexable(archived)
            if event is None:
                continue
            day = follower.day(event.time_s // 3600, oldest)
            if day:
                follower.days.gather(day, event)
                if event.position >= border:
                    self._seen.add(event.position)
            # What the log still holds is counted when it is read there.
            if 0 < event.position < border:
                present += bool(day)
                expired += not day
            events += 1
            if events % 500 == 0:
                follower.days.work(is_idle=False)
                yield Progress("archive", events, 0, first - 1)
        follower.days.flush()
        self._seen.sort()
        kept = kept_before(self._verdicts, first) if first > 1 else 0
        missing = max(0, kept - present - expired)
        follower.skip_to(first - 1, kept, expired, missing)
        follower.flush()
        yield self._progress("archive", follower, events)

    def _from_log(self, follower: Follower, oldest: str) -> Iterator[Progress]:
        follower.days.recent_from = oldest_day(self._clock.now_ns(), 1)
        while True:
            frames = follower.read(oldest)
            worked = follower.days.work(is_idle=not frames)
            follower.settle()
            behind = self._verdicts.consolidated_position() - follower.read_through
            if behind <= _CLOSE_FRAMES and not frames:
                return
            if not frames and not worked:
                self._clock.pause(0.02)
            yield self._progress("log", follower)

    def _progress(
        self, stage: Literal["archive", "log", "switched"], follower: Follower, events: int = 0
    ) -> Progress:
        return Progress(
            stage, events or follower.kept_total, follower.read_through,
            self._verdicts.consolidated_position(), follower.state.missing,
        )  # fmt: skip


def run_rebuild(rebuild: Rebuild, tell: Callable[[Progress], None]) -> None:
    """Run a rebuild to its end, telling how far it is."""
    for progress in rebuild.run():
        tell(progress)
