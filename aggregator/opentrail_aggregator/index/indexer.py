"""The index role: follows the log into the generation that answers, for as long as it runs.

It never gives up and never loops hot: whatever fails (a full disk, a damaged day, a panic of the
engine) is told as a health problem, everything uncommitted is forgotten, and after a pause the days
are opened again and the log is read again from the state on disk.

A rebuild in another process makes a new generation and renames `CURRENT`; this role notices within
a step, leaves the old one and goes on in the new.
"""

from collections.abc import Iterator

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail.segment.frame import Damage
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.archived import ArchiveSource
from opentrail_aggregator.index.catch_up import catch_up
from opentrail_aggregator.index.follower import Follower, Sources
from opentrail_aggregator.index.generation import CURRENT, Generation, Generations
from opentrail_aggregator.index.rebuild import held_position
from opentrail_aggregator.index.retention import RetentionClock, day_of
from opentrail_aggregator.index.schema import SCHEMA_VERSION, is_panic
from opentrail_aggregator.index.settings import IndexSections
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.wal.cursors import DIRECTORY, Cursors
from opentrail_aggregator.wal.disk_reader import open_reader

NAME = "index"
_PAUSE_MIN, _PAUSE_MAX = 0.5, 10.0  # Health sees the end of a fault within 15 s.
_STUCK_SECONDS = 15.0
_CLOSE_EVENTS = 20_000
_DOCUMENTS_SECONDS = 10.0


class Indexer:
    """A log consumer role: `step` does a bounded piece of work."""

    name = NAME

    def __init__(
        self,
        home: Home,
        settings: IndexSections,
        clock: Clock,
        metrics: Metrics,
        *,
        archive: ArchiveSource | None = None,
    ) -> None:
        self._home = home
        self._settings = settings.index
        self._clock = clock
        self._metrics = metrics
        self._archive = archive
        self._retention = RetentionClock(clock, settings.retention.days)
        self._log = open_reader(home)
        self._sources = Sources(self._log, VerdictReader(home))
        self._cursors: Cursors | None = None
        self._generations = Generations(home.index)
        self._seen_current: tuple[int, int] | None = None
        self._follower: Follower | None = None
        self._catching_up: Iterator[int] | None = None
        self._pause = 0.0
        self._again_at = 0.0
        self._dropped_before = ""
        self._read_at = clock.monotonic()
        self._reported = (0, 0, 0)
        self._documents_at = 0.0

    def step(self) -> bool:
        """Read, index and commit a little; True if there may be more to do at once."""
        if self._clock.monotonic() < self._again_at:
            return False
        try:
            worked = self._step()
        except (OpenTrailError, OSError, ValueError, RuntimeError) as error:
            self._fail(error)
            return False
        except BaseException as error:
            if not is_panic(error):
                raise
            self._fail(error)
            return False
        return worked

    def _step(self) -> bool:
        follower = self._follow_current()
        if follower is None:
            return False
        oldest = self._retention.oldest()
        follower.days.recent_from = day_of(self._clock.now_ns() // 10**9 - 86400)
        if self._catching_up is not None:
            if next(self._catching_up, None) is None:
                self._catching_up = None
                self._tell_caught_up(follower)
            return True
        self._look_for_hole(follower, oldest)
        if self._catching_up is not None:
            return True
        frames = follower.read(oldest)
        worked = follower.days.work(is_idle=not frames)
        if follower.settle():
            self._commit_cursor(follower)
        if oldest != self._dropped_before:
            if follower.drop_days_before(oldest):
                self._commit_cursor(follower)
            self._dropped_before = oldest
        self._report(follower, frames)
        return bool(frames) or worked

    def _follow_current(self) -> Follower | None:
        """The follower of the generation that answers now."""
        current = self._current_file()
        if self._follower is not None and current == self._seen_current:
            return self._follower
        log_id = self._log_id()
        if log_id is None:
            return None
        self._leave()
        generation = self._generations.current()
        if generation is None:
            generation = self._begin(log_id)
            current = self._current_file()
        state = generation.read()
        if state.version != SCHEMA_VERSION or state.log_id != log_id:
            # Positions and terms mean nothing across these; the old one stays until it is replaced.
            was = (
                "another log"
                if state.version == SCHEMA_VERSION
                else f"format {state.version}, this program's is {SCHEMA_VERSION},"
            )
            generation = self._begin(log_id)
            current = self._current_file()
            self._metrics.problem(
                "index.begun-anew",
                f"{self._home.index}: the index was of {was} and begins anew, from the log and "
                "what the archive holds of it before; opentrail index rebuild --from archive "
                "brings all earlier events back",
            )
        follower = Follower(
            generation, self._sources, self._settings, self._clock, damaged=self._tell_damage
        )
        follower.finish_dropping()
        # As it was before it was read: one that was switched since is noticed at the next step.
        self._seen_current = current
        self._follower = follower
        self._cursors = Cursors(self._home.log / DIRECTORY, log_id)
        self._dropped_before = ""
        self._generations.remove_others(
            {name for name in self._generations.names() if name >= generation.name}
        )
        return follower

    def _current_file(self) -> tuple[int, int] | None:
        """What changes whenever another generation is to answer."""
        try:
            stat = (self._home.index / CURRENT).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def _begin(self, log_id: str) -> Generation:
        generation = self._generations.create()
        generation.write(generation.read().of_log(log_id))
        self._generations.switch_to(generation)
        return generation

    def _log_id(self) -> str | None:
        try:
            return self._log.log_id or None  # Empty while ingest is just making it.
        except (OpenTrailError, OSError):
            return None  # Ingest has not made the log yet.

    def _look_for_hole(self, follower: Follower, oldest: str) -> None:
        first = self._log.first_position()
        if first > follower.read_through + 1:
            self._metrics.problem(
                "index.hole",
                f"the log begins at position {first}, the index had read through "
                f"{follower.read_through}: what lies between is read from the archive"
                + ("" if self._archive else ", which is not available: those events are missing"),
            )
            self._catching_up = catch_up(
                follower, first, self._sources.verdicts, self._archive, oldest
            )

    def _tell_caught_up(self, follower: Follower) -> None:
        self._metrics.healed("index.hole")
        if follower.state.missing:
            self._metrics.problem(
                "index.missing",
                f"{follower.state.missing} kept events are neither in the log nor in the archive "
                "and cannot be searched",
            )

    def _commit_cursor(self, follower: Follower) -> None:
        """Tell the log how far it may release; a rebuild that reads it holds it back."""
        assert self._cursors is not None
        # Not beyond the generation that answers either: it may just have been switched.
        current = self._generations.current() or follower.generation
        position = min(
            follower.state.position,
            current.read().position,
            held_position(self._generations, self._home),
        )
        self._cursors.commit(NAME, position, {"can_catch_up": self._archive is not None})

    def _report(self, follower: Follower, frames: int) -> None:
        metrics, state, counted = self._metrics, follower.state, follower.days.counted
        now = self._clock.monotonic()
        if frames or self._sources.verdicts.consolidated_position() <= follower.read_through:
            self._read_at = now
            metrics.healed("index.stuck")
        elif now - self._read_at > _STUCK_SECONDS:
            metrics.problem(
                "index.stuck",
                f"log position {follower.read_through + 1} cannot be read, later ones can; see "
                "opentrail-aggregator wal check",
            )
        lag = (self._clock.now_ns() - follower.lag_began_ns) / 1e9 if follower.lag_began_ns else 0.0
        metrics.set("opentrail_index_lag_seconds", max(0.0, lag))
        if self._pause and follower.settled_once:
            self._pause = 0.0
            metrics.healed("index.failed")
        if now >= self._documents_at:
            self._documents_at = now + _DOCUMENTS_SECONDS
            metrics.set("opentrail_index_documents", follower.generation.documents())
        figures = (state.position, counted.normalised, counted.fallback)
        if figures == self._reported:
            return
        metrics.set("opentrail_index_position", state.position)
        metrics.set("opentrail_index_expired_total", state.expired)
        before = self._reported
        metrics.increment("opentrail_index_normalised_total", max(0, figures[1] - before[1]))
        metrics.increment("opentrail_index_fallback_total", max(0, figures[2] - before[2]))
        self._reported = figures

    def _tell_damage(self, damage: Damage) -> None:
        self._metrics.problem(
            "index.damage",
            f"log positions {damage.first} to {damage.last} cannot be read ({damage.reason}); what "
            "was kept of them is counted as missing; opentrail-aggregator wal check says more",
        )

    def _fail(self, error: BaseException) -> None:
        self._pause = min(_PAUSE_MAX, max(_PAUSE_MIN, self._pause * 2))
        self._again_at = self._clock.monotonic() + self._pause
        self._metrics.problem(
            "index.failed",
            f"{self._home.index}: {type(error).__name__}: {error}; nothing is lost, tried again "
            f"in {self._pause:g} s from the last commit",
        )
        if self._follower is not None:
            self._follower.discard()
        self._follower = None
        self._catching_up = None
        self._seen_current = None
        self._reported = (0, 0, 0)

    def _leave(self) -> None:
        if self._follower is not None:
            self._follower.discard()
        self._follower = None
        self._catching_up = None
        self._reported = (0, 0, 0)

    def close(self) -> None:
        """Commit what was read, as far as that works; a crash here costs only work."""
        follower = self._follower
        if follower is None:
            return
        try:
            # More than this is quicker read again at the next start than committed before this end.
            if self._catching_up is None and follower.days.uncommitted_events() < _CLOSE_EVENTS:
                follower.flush()
                self._commit_cursor(follower)
            follower.discard()
        except (OpenTrailError, OSError, ValueError, RuntimeError) as error:
            self._fail(error)
        self._follower = None
