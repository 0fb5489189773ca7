"""The archive's role: reads log and verdicts, gathers, cuts where the log says so, delivers.

One `step` does a bounded piece of work and never waits for a destination. The durable place is
CURRENT in the staging folder (what is staged belongs to it), published as the cursor `archive` so
that the log may be released. Everything behind it is repeated after a crash with the same result:

    spilled -> staged -> put -> manifest -> cursor        (crash points archive.*)
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files
from opentrail.segment.frame import Damage
from opentrail_aggregator.archive.changing import Changing, OnStopped
from opentrail_aggregator.archive.cutter import ChainHead, Cutter, Order
from opentrail_aggregator.archive.deliverer import Deliverer, OnDelivered, has_room
from opentrail_aggregator.archive.deliveries import Delivery, DeliveryFolder
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.gather import Piece, gather, global_position
from opentrail_aggregator.archive.gzip_member import FRAME_BYTES, OBJECT_MAX_BYTES
from opentrail_aggregator.archive.marks import Marks
from opentrail_aggregator.archive.open_archive import open_destination
from opentrail_aggregator.archive.parts import SIZE, OpenPart, Settling
from opentrail_aggregator.archive.publishing import Publishing
from opentrail_aggregator.archive.reporters import Reporters
from opentrail_aggregator.archive.retention import Retention
from opentrail_aggregator.archive.sealer import Sealer
from opentrail_aggregator.archive.seals import AppendControl, cut_name, orders_in
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.archive.staging.merge import Merge, neighbours_to_merge
from opentrail_aggregator.archive.staging.store import Staging
from opentrail_aggregator.archive.state import encode_state, restore_state
from opentrail_aggregator.archive.trails import DEFAULT_ACCOUNT, DEFAULT_HOME_REGION, Trails
from opentrail_aggregator.archive.unselected import Unselected
from opentrail_aggregator.archive.watermark import Watermark
from opentrail_aggregator.consolidate.joined import read_joined
from opentrail_aggregator.consolidate.verdict import Verdict, VerdictReader
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.wal.cursors import Cursors
from opentrail_aggregator.wal.lineage import read_lineage
from opentrail_aggregator.wal.log import LogEntry, LogReader

READ_BYTES = 512 * 1024
STEP_SECONDS = 0.05
DECIDE_SECONDS = 1.0
GAP_PROBLEM = "archive.log_gap"
VERDICTS_PROBLEM = "archive.verdicts"
_RATIO = 0.2
"""Compressed to uncompressed before any batch was seen."""
_DONE = object()


class Archiver:
    """See above. `append_control` puts seals into the log; without it nothing is ever due.

    `held_bytes` says what the log holds on disk behind a position; `indexes` are the cursors of
    those that need every event.
    """

    name = "archive"

    def __init__(
        self,
        home: Home,
        settings: ArchiveSettings,
        clock: Clock,
        metrics: Metrics,
        *,
        log: LogReader,
        verdicts: VerdictReader,
        append_control: AppendControl | None = None,
        destination: Destination | None = None,
        log_max_bytes: int = 8 << 30,
        account: str = DEFAULT_ACCOUNT,
        home_region: str = DEFAULT_HOME_REGION,
        object_max_bytes: int = OBJECT_MAX_BYTES,
        on_delivered: OnDelivered | None = None,
        on_stopped: OnStopped | None = None,
        indexes: Collection[str] = (),
        held_bytes: Callable[[int], int] = lambda _: 0,
        files: Files = DISK,
    ) -> None:
        self.settings = settings
        self._home, self._clock, self._metrics, self._files = home, clock, metrics, files
        self._log, self._verdicts, self._held_bytes = log, verdicts, held_bytes
        self._destination = destination or open_destination(home, settings, clock, files)
        self._object_max_bytes = object_max_bytes
        self._sealer = Sealer(
            Settling(settings.settle, settings.settle_max),
            log_max_bytes / 2,
            append_control,
            clock,
            metrics,
        )
        self.trails = Trails(settings.bucket, settings.prefix, account, home_region)
        self._reporters = Reporters(settings.import_idle)
        self._chains: dict[str, ChainHead] = {}
        self._marks = Marks()
        self._unselected = Unselected()
        self._changing = Changing(self.trails, metrics, on_stopped)
        self._indexes = indexes
        self._publishing: Publishing | None = None
        self._folder = DeliveryFolder(home.staging, files)
        self._deliverer = Deliverer(
            self._destination, self._folder, clock, metrics, settings.s3.workers, on_delivered
        )
        self._retention = Retention(home, settings, self._destination, clock, metrics, files)
        self._staging: Staging | None = None
        self._cutter: Cutter | None = None
        self._entries: deque[tuple[LogEntry, Verdict]] = deque()
        self._cutting: Iterator[Delivery | None] | None = None
        self._orders: deque[Order] = deque()
        self._ordered_at: tuple[int, int] | None = None  # Position and total of a seal under way.
        self._position = 0
        self._kept_total = 0
        self._cut_since_checkpoint = False
        self._checkpoint_at = clock.monotonic()
        self._decide_at = 0.0
        self._merge: Merge | None = None
        self._payload_bytes, self._raw_bytes = 0, 0
        self._appended_at_ns = 0  # Of the last frame read.
        self._watermark = Watermark(clock)

    @property
    def position(self) -> int:
        """The last frame whose events were gathered (not yet durable)."""
        return self._position

    def step(self) -> bool:
        """A little work; True if there may be more at once."""
        if self._staging is None and not self._open():
            return False
        moved = self._deliverer.step()
        if self._cutting is not None or self._orders:
            self._cut_on()
            moved = True
        elif self._has_room():
            moved |= self._read_on()
        if self._cutting is None and not self._orders:
            moved |= self._look_after(caught_up=not moved)
        return moved

    def close(self) -> None:
        """Save the place and stop; nothing is cut for it."""
        if self._staging is not None and self._cutting is None and not self._orders:
            self._checkpoint()
        if self._merge is not None:
            self._merge.abandon()
        self._sealer.close()
        self._deliverer.close()

    # Opening.

    def _open(self) -> bool:
        log_id = self._log.log_id
        if not log_id:
            return False  # Ingest has not made the log yet.
        staging = Staging(self._home.staging, log_id, self._files)
        self._folder.prepare()
        self._publishing = Publishing(
            Cursors(self._home.log / "cursors", log_id, self._files), self._indexes
        )
        self._position = staging.position
        if staging.state:
            self._kept_total = restore_state(
                staging.state, self._chains, self.trails, self._reporters, self._marks,
                self._unselected,
            )  # fmt: skip
        self._cutter = Cutter(
            staging, self._folder, self.trails, self._reporters, self._chains, self._files,
            self.settings.gzip_level, self._marks,
            read_lineage(self._home.log, log_id, self._files).follows, lambda: self._position,
        )  # fmt: skip
        for delivery in self._folder.read_all():
            self._deliverer.submit(delivery)
        now_ns, monotonic = self._clock.now_ns(), self._clock.monotonic()
        for part in staging.parts.values():
            quiet = min(max((now_ns - part.live_last_ns) / 1e9, 0.0), self.settings.settle)
            part.quiet_since = monotonic - quiet
        self._staging = staging
        return True

    def _state(self) -> dict[str, Any]:
        return encode_state(
            self._kept_total, self._through(part.first for part in self.open_parts()),
            self._chains, self.trails, self._reporters, self._marks, self._unselected,
            self.open_parts(),
        )  # fmt: skip

    # Reading.

    def _has_room(self) -> bool:
        waiting, limit = self._deliverer.stored_bytes, self.settings.staged_max
        return has_room(waiting, limit, self._destination.bucket, self._metrics)

    def _read_on(self) -> bool:
        assert self._staging is not None
        if not self._entries:
            self._entries.extend(
                read_joined(
                    self._log, self._verdicts, self._position, READ_BYTES, self._note_damage
                )
            )
            if self._verdicts.stopped_by:
                self._metrics.problem(VERDICTS_PROBLEM, self._verdicts.stopped_by)
            else:
                self._metrics.healed(VERDICTS_PROBLEM)
        until = self._clock.monotonic() + STEP_SECONDS
        moved = False
        while self._entries and not self._orders and self._cutting is None:
            entry, verdict = self._entries.popleft()
            if entry.position > self._position:
                self._take(entry, verdict)
            moved = True
            if self._staging.buffer_bytes >= self.settings.buffer and not self._orders:
                self._checkpoint()
            if self._clock.monotonic() >= until:
                break
        return moved

    def _take(self, entry: LogEntry, verdict: Verdict) -> None:
        self._appended_at_ns = entry.appended_at_ns
        self._marks.note(entry.position, entry.appended_at_ns)
        control = self._reporters.observe(entry)
        if control is not None:
            self.trails.observe(control, verdict.kept_total)
            self._orders.extend(orders_in(entry, control))
            self._orders.extend(self._changing.read(entry, control, self.open_parts()))
            if self._orders:
                self._ordered_at = (entry.position, verdict.kept_total)
                return
            self._changing.apply(verdict.kept_total)
        elif entry.is_batch:
            self._marks.note_batch(entry.agent, entry.epoch, entry.position, entry.sequence)
            self._payload_bytes += len(entry.payload)
            imported = live = False
            gathered = gather(entry, verdict, self.trails)
            for place, piece in enumerate(gathered.pieces):
                imported |= bool(piece.importer)
                live |= not piece.importer
                self._raw_bytes += piece.slice.raw_bytes
                self._add(entry, piece, place)
            self.trails.count(gathered.kept, gathered.taken)
            self._unselected.note(entry.position, gathered.unselected)
            self._reporters.note_batch(entry, imported, live)
        self._position, self._kept_total = entry.position, verdict.kept_total

    def _add(self, entry: LogEntry, piece: Piece, place: int) -> None:
        """Into its part; a part that would pass 50 MB is cut right here, before that event."""
        assert self._staging is not None
        monotonic = self._clock.monotonic()
        part = self._staging.part_of(piece.key)
        room = self._object_max_bytes - FRAME_BYTES - part.raw_bytes
        if piece.slice.raw_bytes <= room:
            self._staging.add(piece, monotonic)
            return
        fitting = piece.slice.fitting(room) or int(part.events == 0)
        rest = piece.slice
        if 0 < fitting < rest.events:
            first, rest = rest.cut(fitting)
            self._staging.add(piece._replace(slice=first), monotonic)
        position = int(rest.positions[0])
        order = Order(cut_name(position, place), position, entry.appended_at_ns, SIZE, (piece.key,))
        self._begin(order)
        while self._cutting is not None:
            self._cut_on()
        self._add(entry, piece._replace(slice=rest), place)

    def _note_damage(self, damage: Damage) -> None:
        for part in self.open_parts():
            part.asked = False  # The seal may have been among what is lost.
        self._metrics.problem(
            GAP_PROBLEM,
            f"log positions {damage.first} to {damage.last} cannot be read ({damage.reason}, "
            f"{damage.path} at byte {damage.offset}): their events are not in the archive; "
            "`opentrail-aggregator wal check` says more",
        )

    # Cutting.

    def _begin(self, order: Order) -> None:
        assert self._cutter is not None
        assert self._staging is not None
        known = self._deliverer.find(order.name)
        if known is not None:
            # Cut before a crash and still on its way: only the parts have to be closed again.
            found = [self._staging.find(key) for key in order.parts]
            self._cutter.adopt(known, [part for part in found if part is not None and part.events])
            return
        self._cutting = self._cutter.steps(order, self._clock.now_ns())

    def _cut_on(self) -> None:
        if self._cutting is None:
            if self._orders:
                self._begin(self._orders.popleft())
        else:
            made = next(self._cutting, _DONE)
            if isinstance(made, Delivery):
                self._cut_since_checkpoint = True
                self._deliverer.submit(made)
            if made is not None:
                self._cutting = None
        if self._cutting is None and not self._orders and self._ordered_at is not None:
            self._position, self._kept_total = self._ordered_at
            self._ordered_at = None
            self._changing.apply(self._kept_total)

    # Deciding, saving, tidying.

    def _look_after(self, caught_up: bool) -> bool:
        assert self._staging is not None
        monotonic = self._clock.monotonic()
        if monotonic >= self._decide_at:
            self._decide_at = monotonic + DECIDE_SECONDS
            asked = self._sealer.step(
                self.open_parts(),
                self._open_bytes(),
                self._reporters.running_imports(self._clock.now_ns()),
                global_position(self._position),
                self._held_bytes(self.archived_through()),
            )
            self._metrics.set("opentrail_archive_position", self._position)
            self._metrics.set("opentrail_archive_open_parts", len(self._staging.parts))
            self._retention.step()
            if asked:
                return True  # The seal can be read at once.
        due = monotonic - self._checkpoint_at >= self.settings.checkpoint
        if self._position > self._staging.position and (
            due or (caught_up and self._cut_since_checkpoint)
        ):
            self._checkpoint()
            return True
        if due and self._position == self._staging.position:
            self._checkpoint_at = monotonic
            self._publish(again=False)
        return self._merge_on()

    def _checkpoint(self) -> None:
        assert self._staging is not None
        self._checkpoint_at = self._clock.monotonic()
        self._cut_since_checkpoint = False
        if self._position <= self._staging.position:
            return
        self._staging.checkpoint(self._position, self._state())
        crash_point("archive.cursor")
        self._publish()

    def _publish(self, again: bool = True) -> None:
        """Tell the log how far this reader is, and what is delivered of it."""
        through, publishing = self.archived_through(), self._publishing
        if self._staging and publishing and (again or through != publishing.archived_through):
            publishing.publish(self._staging.position, through, self._unselected)

    def _merge_on(self) -> bool:
        assert self._staging is not None
        if self._merge is None:
            runs = neighbours_to_merge(self._staging.runs)
            if not runs:
                return False
            self._merge = Merge(self._staging, runs)
        if not self._merge.step():
            self._merge = None
        return True

    def _open_bytes(self) -> float:
        """What the frames of open parts took in the log, about."""
        assert self._staging is not None
        ratio = self._payload_bytes / self._raw_bytes if self._raw_bytes else _RATIO
        return sum(part.raw_bytes for part in self._staging.parts.values()) * ratio

    def archived_through(self) -> int:
        """The frame through which every kept event is in a delivered object."""
        pending = (delivery.first_position for delivery in self._deliverer.pending)
        return min(self._through(part.first for part in self.open_parts()), self._through(pending))

    def delivered_through_ns(self) -> int:
        """Every cut made before this time is delivered."""
        if not (self._staging is None or self._cutting or self._orders or self._deliverer.pending):
            caught_up = self._position >= self._log.durable_position() and not self._entries
            self._watermark.rise(self._appended_at_ns, caught_up)
        return self._watermark.at_ns

    def cut_open(self) -> bool:
        """Cut what is open, due or not; True once all is that was open at the first call."""
        return self._staging is not None and self._sealer.cut_all(
            self.open_parts(), global_position(self._position + 1)
        )

    def _through(self, firsts: Iterable[int]) -> int:
        """The frame before all of these global positions, where there are any."""
        return min((self._position, *((first >> 16) - 1 for first in firsts)))

    def open_parts(self) -> Collection[OpenPart]:
        """What is not cut yet."""
        return self._staging.parts.values() if self._staging is not None else ()
