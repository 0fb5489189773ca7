"""From watched paths to sealed batches: one `turn` after the other, without waiting for anything.

    scan ──► adopt · look · let go ──► ready ──► read into the draft ──► hand out
    (which files there are)            (which have something new)        (when it is full or due)

`turn` does a bounded amount of work and says what came of it: a draft to seal and spool, or until
when there is nothing to do. It runs in a worker thread; the shell (`following`) hands it the turns
that became durable meanwhile, in order, so all state here belongs to one thread at a time. Only
`report`, a value made anew each time, is read from elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files
from opentrail.limits import HEARTBEAT_MAX_SOURCES

from ..metrics import Metrics
from .batching import Draft, Pacer
from .census import Census
from .follower import Follower, Reading
from .positions import Entry
from .settings import CaptureSettings
from .splitter import Place

GZIP_QUIET_SECONDS = 10.0
"""How long a gzip file that ends within a member is waited for."""
COPY_WAITS_SECONDS = 60.0
"""How long a rotated copy waits for its original to be read; that of a busy file would for ever."""
SAVE_SECONDS = 1.0
MANY_FILES = 250
"""More than so many are looked at half as often, if nobody writes to them."""
_SEEN_WITHIN_SECONDS = 0.9  # A new file is seen within a second, with as many as there may be.
_PAUSES_MAX = 2
"""Quanta read in one turn although nothing comes of them (a value without an end)."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a batch goes in one file."""

    entry: Entry
    place: Place
    tail: bytes
    largest: int
    exhausted: tuple[int, int]
    has_ended: bool


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What came of a turn."""

    draft: Draft | None = None
    """To be sealed and spooled; nothing is added to it any more."""
    reached: list[Reached] = field(default_factory=list)
    through_ns: int = 0
    """With this draft, and those before it, all is spooled that the sources held at this time."""
    wait_seconds: float = 0.0
    """Without a draft: how long there is nothing to do."""

    @property
    def positions(self) -> dict[str, int]:
        """Generation -> offset."""
        return {each.entry.generation: each.place.offset for each in self.reached}


@dataclass(frozen=True, slots=True)
class Report:
    """What a heartbeat says about the sources."""

    reported_at_ns: int = 0
    """All that the sources held at this time is in the spool; 0: not known yet."""
    sources: list[dict[str, Any]] = field(default_factory=list)


class Harvest:
    """Everything between the watched paths and the next sealed batch."""

    def __init__(
        self,
        settings: CaptureSettings,
        directory: Path,
        clock: Clock,
        metrics: Metrics,
        files: Files = DISK,
        crash: Callable[[str], None] = crash_point,
    ) -> None:
        self.report = Report()
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._crash = crash
        self._census = Census(settings, directory, clock, metrics, self, files)
        self._draft = Draft()
        self._pacer = Pacer(settings.linger)
        self._touched: dict[tuple[str, int, int], Follower] = {}
        self._gzip_next = False
        self._scan_at = float("-inf")
        self._poll_at = float("-inf")
        self._save_at = float("-inf")
        self._scanned_ns = 0  # when the last scan began, by the wall clock
        self._drained_ns = 0  # all that was there then is in the draft or in a batch
        self._in_flight: set[Turn] = set()

    def open(self) -> None:
        self._census.open()

    def close(self) -> None:
        """Let go of everything; positions that are known to be durable are written."""
        try:
            if self._census.positions.is_dirty:
                self._census.positions.save()
        finally:
            self._census.close()

    def turn(self, *spooled: Turn) -> Turn:
        """One bounded step; `spooled` are the turns, in order, that became durable meanwhile.

        Raises OSError if the positions cannot be written; nothing is lost by calling again.
        """
        now = self._clock.monotonic()
        self.settle(*spooled)
        self._save_if_due(now)
        if now >= self._scan_at:
            self._scan(now)
        elif self._census.is_hot and now >= self._poll_at:
            self._census.poll()
            self._poll_at = now + self._settings.poll
        self._read()
        if not self._census.ready and not self._census.is_unsettled:
            self._drained_ns = self._scanned_ns
        # After a change of generation its file may have nothing new to say: reached all the same.
        if self._draft.is_empty and self._touched and not self._in_flight:
            self._settle(self._reached(None))
        if self._pacer.is_due(self._draft, now):
            return self._hand_out(now)
        if not self._in_flight and self._draft.is_empty:
            self._say_reached(self._drained_ns)
        return Turn(wait_seconds=self._wait(now))

    def _scan(self, now: float) -> None:
        self._scanned_ns = self._clock.now_ns()
        self._census.scan()
        for follower in list(self._census.followers.values()):
            is_waited_for = follower.is_gzip and follower.is_open and not follower.is_done
            quiet = now - follower.grown_at
            if is_waited_for and quiet >= GZIP_QUIET_SECONDS and self.has_room(follower):
                self.finish(follower, "it ends within a member")
        self._scan_at = now + self._scan_seconds
        self._poll_at = now + self._settings.poll
        if self._census.has_news:
            self._make_report(self.report.reported_at_ns)

    @property
    def _scan_seconds(self) -> float:
        often = self._settings.poll_idle
        is_many = len(self._census.followers) > MANY_FILES
        return max(often, min(2 * often, _SEEN_WITHIN_SECONDS)) if is_many else often

    def _read(self) -> None:
        """Move what is ready into the draft, until it is full or this turn has been long enough."""
        ready = self._census.ready
        pauses = 0
        while ready and not self._draft.is_full and pauses < _PAUSES_MAX:
            queue = ready.gzip if self._gzip_next and ready.gzip else ready.plain or ready.gzip
            self._gzip_next = not self._gzip_next
            follower = queue[0]
            try:
                reading = follower.take(self._draft)
            except OSError as error:
                self._census.fail(follower, error)
                continue
            self.touch(follower)
            self._crash("agent.read")
            if reading is Reading.PAUSED:
                pauses += 1
                # One compressed file after the other: each in work holds memory of its own.
                if queue is ready.plain:
                    follower.rest()
                    queue.rotate(-1)
            elif reading is Reading.REPLACED:
                self._census.replaced(follower)
            elif reading is not Reading.MORE:
                queue.popleft()
                if reading is Reading.ENDED:
                    self.finish(follower, "")
                    follower.has_ended = True

    # What the census asks for.

    def finish(self, follower: Follower, why: str) -> None:
        """Take what is left in a follower whose content has ended."""
        follower.finish(self._draft, why)
        self.touch(follower)

    def touch(self, follower: Follower) -> None:
        """`follower` is further than the positions say."""
        self._touched[follower.entry.key] = follower

    def has_room(self, follower: Follower) -> bool:
        """Whether `follower` has nothing to read and what is left in it fits the draft."""
        return not self._draft.is_full and follower not in self._census.ready

    def waits_for(self, entry: Entry | None, quiet_seconds: float) -> bool:
        """Whether the place up to which `entry` was read is about to be known: a copy that was
        followed from here on would be read a second time from where it stands now."""
        if entry is None or quiet_seconds >= COPY_WAITS_SECONDS:
            return False
        on_the_way = [
            *(each.entry for each in self._census.ready),
            *(each.entry for each in self._touched.values()),
            *(each.entry for turn in self._in_flight for each in turn.reached),
        ]
        return any(each.generation == entry.generation for each in on_the_way)

    def _hand_out(self, now: float) -> Turn:
        self._make_generations_durable()
        draft, self._draft = self._draft, Draft()
        self._pacer.sealed(now)
        turn = self._reached(draft)
        self._in_flight.add(turn)
        self._crash("agent.sealed")
        return turn

    def _make_generations_durable(self) -> None:
        """Before any event of a generation can be spooled: a derived id must not change."""
        positions = self._census.positions
        fresh = [
            each.entry for each in self._touched.values()
            if not positions.is_durable(each.entry.generation)
        ]  # fmt: skip
        for entry in fresh:
            positions.put(entry)
        if fresh:
            positions.save()

    def _reached(self, draft: Draft | None) -> Turn:
        reached = [
            Reached(each.entry, each.place, each.tail, each.largest, each.exhausted, each.has_ended)
            for each in self._touched.values()
        ]
        self._touched = {}
        return Turn(draft, reached, self._drained_ns)

    def settle(self, *turns: Turn) -> None:
        """What `turns` read is in the spool; one that is known to be is passed over."""
        for turn in turns:
            if turn in self._in_flight:
                self._in_flight.remove(turn)
                self._settle(turn)

    def _settle(self, turn: Turn) -> None:
        positions = self._census.positions
        self._census.has_news = True
        for each in turn.reached:
            entry = each.entry
            entry.settle(each.place, each.tail)
            entry.size = each.largest
            entry.ended = each.has_ended
            entry.file_size, entry.modified_ns = each.exhausted
            if entry.prefix_bytes:
                positions.put(entry)
        if turn.draft is not None:
            self._metrics.increment("opentrail_agent_events_total", turn.draft.events)
            self._metrics.increment("opentrail_agent_bytes_total", turn.draft.size_bytes)
            self._metrics.increment("opentrail_agent_refused_total", turn.draft.refused)
            for rule, count in turn.draft.redacted.items():
                self._metrics.increment("opentrail_agent_redacted_total", count, rule=rule)
            self._say_reached(turn.through_ns)

    def _say_reached(self, through_ns: int) -> None:
        if through_ns > self.report.reported_at_ns:
            self._make_report(through_ns)

    def _make_report(self, through_ns: int) -> None:
        if not self._census.has_news:  # Many idle files would cost more to tell than to look at.
            self.report = Report(through_ns, self.report.sources)
            return
        self._census.has_news = False
        followers = self._census.followers.values()
        sources = [
            {
                "name": each.origin.source,
                "position": each.entry.offset,
                "size": each.entry.offset if each.is_gzip and each.is_done else each.size,
                "generation": each.entry.generation,
                "kind": "follow",
                "ended": each.entry.ended,
            }
            for each in followers
            if each.entry.prefix_bytes
        ]
        if len(sources) > HEARTBEAT_MAX_SOURCES:
            sources.sort(key=lambda each: (each["ended"], each["position"] == each["size"]))
            del sources[HEARTBEAT_MAX_SOURCES:]
        self.report = Report(through_ns, sources)

    def _save_if_due(self, now: float) -> None:
        positions = self._census.positions
        if not positions.is_dirty or now < self._save_at:
            return
        self._save_at = now + SAVE_SECONDS
        try:
            positions.save()
        except OSError as error:
            # Not held back for this: after a crash some lines would be read again, no more.
            self._metrics.problem(
                "capture.positions", f"{positions.path}: cannot be written: {error.strerror}"
            )
            return
        self._metrics.healed("capture.positions")
        self._crash("agent.positions")

    def _wait(self, now: float) -> float:
        if self._census.ready:
            return 0.0
        until = min(self._scan_at, self._poll_at) if self._census.is_hot else self._scan_at
        if not self._draft.is_empty:
            until = min(until, self._pacer.due_at(self._draft))
        return max(0.0, until - now)
