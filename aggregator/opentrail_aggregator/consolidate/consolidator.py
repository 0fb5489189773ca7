"""The role: log frames in, verdicts out, a bounded piece in each step.

    1. read frames behind the last verdict       crash: nothing has happened
    2. examine, ask the id set, judge            crash: nothing has happened
    3. quarantine items, synced                  crash: judged again, the items are known
    4. verdicts, synced, then published          crash: published at the next start
    5. id set spilled, now and then              crash: ids behind its checkpoint come from verdicts
    6. agents table and cursor, once a second    crash: folded again from the log

Nothing but the log decides what a verdict says, and an event that is asked for again finds itself
in the id set, so work that is repeated after a crash has the same result.

When the disk fails, the step is given up, everything is closed, and a later step opens it again:
what was not synced is then judged again. Health says so meanwhile.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from opentrail.batch import BatchError, BatchHead
from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files
from opentrail.segment.frame import Damage
from opentrail_aggregator.consolidate.alarms import Alarms
from opentrail_aggregator.consolidate.examine import Examined, examine
from opentrail_aggregator.consolidate.firsts import ArchiveLookup, in_no_archive
from opentrail_aggregator.consolidate.foreign import ForeignEvents, Submit
from opentrail_aggregator.consolidate.judge import Judged, judge, judge_unreadable
from opentrail_aggregator.consolidate.policy import Policy
from opentrail_aggregator.consolidate.settings import ConsolidateSettings
from opentrail_aggregator.consolidate.silence import tell_silence
from opentrail_aggregator.consolidate.stores import Stores
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.quarantine.settings import QuarantineSettings
from opentrail_aggregator.quarantine.store import QuarantineFullError
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import LogEntry

READ_BYTES = 1 << 20
"""Compressed bytes of log read at a time; about 5,000 records."""
FRAMES_MAX = 2_000
MERGE_ROWS_PER_EVENT = 6
"""Each id is rewritten four or five times until it is in the largest runs."""
MERGE_ROWS_IDLE = 32_768
RETRY_SECONDS = 1.0
FULL_RETRY_SECONDS = 10.0
CHECKPOINT_SECONDS = 1.0


class Settings(Protocol):
    """The sections that this role needs."""

    @property
    def consolidate(self) -> ConsolidateSettings: ...

    @property
    def quarantine(self) -> QuarantineSettings: ...


class Consolidator:
    """One per log."""

    name = "consolidate"

    def __init__(
        self,
        home: Home,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        *,
        files: Files = DISK,
        log: DiskLogReader | None = None,
        archive_lookup: ArchiveLookup = in_no_archive,
        submit: Submit | None = None,
    ) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._files = files
        self._log = log or DiskLogReader(home.log, files)
        self._archive_lookup = archive_lookup
        self._alarms = Alarms(metrics, clock, settings.consolidate.alarm)
        self._foreign = ForeignEvents(submit, clock) if submit else None
        self._stores: Stores | None = None
        self._ahead: deque[LogEntry | Damage] = deque()
        """Read and not judged yet."""
        self._policy = Policy()
        self._checkpoint_at = clock.monotonic()
        self._silence_at = float("-inf")
        self._retry_at = 0.0

    def step(self) -> bool:
        """Judge what is new, up to a bound; True if there may be more at once."""
        if self._clock.monotonic() < self._retry_at:
            return False
        try:
            stores = self._stores or self._open()
            if stores is None:
                return False
            busy = self._step(stores)
            self._metrics.healed("consolidate.disk")
            self._metrics.healed("quarantine.full")
            return busy
        except QuarantineFullError as error:
            self._fail("quarantine.full", str(error), FULL_RETRY_SECONDS)
        except OSError as error:
            self._fail(
                "consolidate.disk",
                f"{error}; nothing is judged until the disk takes writes again: check space and "
                f"health of the disk of {self._home.path}",
            )
        return False

    def close(self) -> None:
        """Release everything; a stop is a crash with manners.

        Its manners: the next start has nothing to read again, and the verdicts could be made anew.
        """
        if self._stores is not None:
            self._stores.settle()
            self._stores.close()
            self._stores = None

    def forget_before(self, hour: int) -> None:
        """The archive keeps nothing from before `hour` (since 1970): its ids may go, too."""
        if self._stores is not None:
            self._stores.ids.forget_before(hour)

    # Opening.

    def _open(self) -> Stores | None:
        if not self._log.log_id:
            return None  # Ingest has not begun.
        stores = Stores(
            self._home,
            self._log,
            self._settings.consolidate,
            self._settings.quarantine,
            self._files,
            self._archive_lookup,
        )
        for note in stores.notes:
            self._metrics.problem("consolidate.found", note)
        self._policy = Policy(stores.table.settings)
        self._ahead.clear()
        self._stores = stores
        self._show(stores)
        return stores

    def _fail(self, key: str, text: str, retry_seconds: float = RETRY_SECONDS) -> None:
        self._metrics.problem(key, text)
        self._retry_at = self._clock.monotonic() + retry_seconds
        if self._stores is not None:
            self._stores.close()
            self._stores = None

    # One step.

    def _step(self, stores: Stores) -> bool:
        taken = self._take(stores.position)
        self._alarms.fade()
        if not taken:
            self._show_lag(stores, taken)
            self._checkpoint(stores)
            if self._foreign is not None:
                self._foreign.flush(stores.table.settings)
            return stores.ids.work(MERGE_ROWS_IDLE)
        judged = self._judge(stores, taken)
        crash_point("consolidate.judged")
        if self._foreign is not None:
            items = [item for each in judged for item in each.items]
            self._foreign.tell(items, self._log.log_id, stores.table.settings)
        stores.write(judged)
        self._count(stores, judged)
        stores.spill_when_due()
        events = sum(each.verdict.events for each in judged)
        stores.ids.work(max(MERGE_ROWS_PER_EVENT * events, MERGE_ROWS_IDLE // 8))
        self._show_lag(stores, taken)
        self._checkpoint(stores)
        return True

    def _take(self, position: int) -> list[LogEntry | Damage]:
        """The next entries: as many as one step may judge."""
        if not self._ahead:
            self._ahead.extend(self._log.read(position, READ_BYTES))
        taken: list[LogEntry | Damage] = []
        raw = 0
        while self._ahead and len(taken) < FRAMES_MAX:
            size = _raw_bytes(self._ahead[0])
            if taken and raw + size > self._settings.consolidate.step_raw_bytes:
                break
            raw += size
            taken.append(self._ahead.popleft())
        return taken

    def _judge(self, stores: Stores, taken: Sequence[LogEntry | Damage]) -> list[Judged]:
        """Verdicts in the order of the log."""
        limit = self._settings.quarantine.item_max_bytes
        readable: list[tuple[LogEntry, Examined]] = []
        others: list[Judged] = []
        for entry in taken:
            if isinstance(entry, Damage):
                others += self._damaged(stores, entry, limit)
                continue
            control = stores.table.apply(entry)
            if control is not None and control.get("type") == "settings":
                self._policy = Policy(control)
            if control is not None and control.get("type") == "replayed":
                stores.mark_replayed(control, entry)
            if not entry.is_batch:
                others.append(judge_unreadable(entry.position, 0, 0, "", limit))
                continue
            try:
                future = int(self._settings.consolidate.future)
                readable.append((entry, examine(entry, self._policy, future)))
            except BatchError as error:
                others.append(self._unopened(entry, error, limit))
        crash_point("consolidate.decoded")
        judged = judge(readable, stores.ids, stores.firsts, limit)
        return sorted([*judged, *others], key=lambda each: each.verdict.position)

    def _damaged(self, stores: Stores, damage: Damage, limit: int) -> list[Judged]:
        """Empty verdicts for positions that the log cannot give any more."""
        stores.table.skip(damage.last)
        events, refused = self._log.lost_in(damage)
        self._metrics.increment(
            "opentrail_consolidate_damaged_total", damage.last - damage.first + 1
        )
        self._metrics.problem(
            "consolidate.damaged",
            f"{damage.path}: positions {damage.first} to {damage.last} cannot be read "
            f"({damage.reason}); {events + refused} events in them are counted as damaged: see "
            "`opentrail-aggregator wal check`",
        )
        judged = [
            judge_unreadable(position, 0, 0, damage.reason, limit)
            for position in range(damage.first, damage.last + 1)
        ]
        lost = judge_unreadable(damage.first, 0, events + refused, damage.reason, limit)
        return [lost, *judged[1:]]

    def _unopened(self, entry: LogEntry, error: BatchError, limit: int) -> Judged:
        self._metrics.problem(
            "consolidate.unopened",
            f"log position {entry.position}, agent {entry.agent!r}: {error}; its "
            f"{entry.events + entry.refused} events are in the quarantine as `damaged`",
        )
        return judge_unreadable(
            entry.position,
            entry.events,
            entry.refused,
            str(error),
            limit,
            payload=entry.payload,
            agent=entry.agent,
            at_ns=entry.appended_at_ns,
        )

    # Telling.

    def _count(self, stores: Stores, judged: list[Judged]) -> None:
        metrics = self._metrics
        for each in judged:
            for item in each.items:
                metrics.increment(
                    "opentrail_quarantine_items_total", item.events, reason=item.reason
                )
                self._alarms.raise_for(item)
        self._show(stores)

    def _show(self, stores: Stores) -> None:
        metrics = self._metrics
        metrics.set("opentrail_consolidate_position", stores.position)
        metrics.set("opentrail_consolidate_kept_total", stores.kept_total)
        metrics.set("opentrail_consolidate_copies_total", stores.copies_total)
        metrics.set("opentrail_consolidate_ids", len(stores.ids))

    def _show_lag(self, stores: Stores, taken: Sequence[LogEntry | Damage]) -> None:
        lag = 0.0
        last = taken[-1] if taken else None
        if isinstance(last, LogEntry) and self._log.durable_position() > stores.position:
            lag = max(0.0, (self._clock.now_ns() - last.appended_at_ns) / 1e9)
        self._metrics.set("opentrail_consolidate_lag_seconds", lag)

    def _tell_silence(self, stores: Stores) -> None:
        """Once a second, and only when everything that was said has been heard."""
        now = self._clock.monotonic()
        if now - self._silence_at < CHECKPOINT_SECONDS or self._ahead:
            return
        if self._log.durable_position() <= stores.position:
            self._silence_at = now
            tell_silence(stores.table, self._clock.now_ns(), self._metrics)

    def _checkpoint(self, stores: Stores) -> None:
        self._tell_silence(stores)
        now = self._clock.monotonic()
        if now - self._checkpoint_at >= CHECKPOINT_SECONDS:
            self._checkpoint_at = now
            stores.checkpoint()


def _raw_bytes(entry: LogEntry | Damage) -> int:
    if isinstance(entry, Damage) or not entry.is_batch:
        return 0
    try:
        head = BatchHead.parse(entry.payload)
    except BatchError:
        return 0
    return head.events_raw_bytes + head.refused_raw_bytes
