"""What consolidate keeps on disk, opened together and written in one order.

    HOME/verdicts/    the verdict store, `durable`, state.json (agents table and settings)
    HOME/ids/         the id set
    HOME/quarantine/  items
    HOME/log/cursors/consolidate   what the log may release

The last durable verdict says where consolidate is; all else is brought up to it when opened: ids
that were only in memory from the verdicts behind the id set's checkpoint, the agents table from
the log behind the table's own position.
"""

from typing import Any

import numpy as np

from opentrail.crash import crash_point
from opentrail.errors import DamagedError
from opentrail.files import Files
from opentrail.segment.frame import Damage, Frame, Kind
from opentrail.segment.reader import SegmentReader
from opentrail.segment.store import SegmentStore
from opentrail_aggregator.consolidate.agents import (
    STATE_NAME,
    AgentsTable,
    decode_table,
    encode_table,
)
from opentrail_aggregator.consolidate.firsts import ArchiveLookup, FirstRecords
from opentrail_aggregator.consolidate.ids.idsets import IdSets
from opentrail_aggregator.consolidate.judge import Judged
from opentrail_aggregator.consolidate.refusals import remember
from opentrail_aggregator.consolidate.settings import ConsolidateSettings
from opentrail_aggregator.consolidate.verdict import (
    KEPT,
    Verdict,
    decode_verdict,
    encode_verdict,
)
from opentrail_aggregator.home import Home
from opentrail_aggregator.quarantine.settings import QuarantineSettings
from opentrail_aggregator.quarantine.store import QuarantineStore
from opentrail_aggregator.wal.cursors import Cursors
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import LogEntry
from opentrail_aggregator.wal.published import PublishedPosition

CURSOR_NAME = "consolidate"
VERDICTS_MAX_PER_SEGMENT = 50_000
SPILL_POSITIONS = 50_000
"""Verdicts behind the id set's checkpoint at most: they are read again at a start."""


class Stores:
    """Everything consolidate writes. After an OSError: close, and open anew."""

    def __init__(
        self,
        home: Home,
        log: DiskLogReader,
        settings: ConsolidateSettings,
        quarantine: QuarantineSettings,
        files: Files,
        archive_lookup: ArchiveLookup,
    ) -> None:
        self._home = home
        self._log = log
        self._settings = settings
        self._files = files
        self._verdicts = SegmentStore.open(
            home.verdicts,
            files,
            segment_bytes=2 * settings.verdict_segment_bytes,
            first_position=max(1, log.first_position()),
            store_id=log.log_id,
        )
        if self._verdicts.store_id != log.log_id:
            raise DamagedError(
                f"{home.verdicts}: belongs to log {self._verdicts.store_id}, but {home.log} is log "
                f"{log.log_id}: put the right log back, or move verdicts, index and staging away"
            )
        self.position = self._verdicts.next_position - 1
        """The last position with a durable verdict."""
        self._segment_bytes = 0
        self._segment_frames = 0
        self._cursors = Cursors(home.log / "cursors", log.log_id, files)
        self._published = PublishedPosition(home.verdicts, writing=True)
        self._published.publish(self.position)
        self.notes: list[str] = []
        """What opening found wrong and survived."""
        self.kept_total = self.copies_total = self.quarantined_total = 0
        self._released = 0
        """The position before the log's first one, and the sums through it."""
        self._released_totals = [0, 0, 0]
        self._read_totals()
        self.quarantine = QuarantineStore(home.quarantine, quarantine, self.position, files)
        self.ids = IdSets(home.ids, files)
        self._recover_ids()
        self.table = self._recover_table()
        _, state = self._cursors.read(CURSOR_NAME)
        self._released = int(state.get("released", 0))
        self._released_totals = list(state.get("totals", [0, 0, 0]))
        self._saved = -1  # A crash may have come between table and cursor: save both once.
        self.firsts = FirstRecords(DiskLogReader(home.log, files), archive_lookup)
        self.notes += self._verdicts.findings.notes + self.quarantine.notes + self.ids.notes

    # Recovering.

    def _read_totals(self) -> None:
        totals = self._totals_at(self.position)
        if totals is None and self.position > 0:
            # The verdicts were moved away to be made anew, and the log begins behind its start.
            _, state = self._cursors.read(CURSOR_NAME)
            totals = state.get("totals", [0, 0, 0])
            if state.get("released") != self.position:
                self.notes.append(
                    f"{self._home.verdicts}: made anew from position {self.position + 1} on, but "
                    f"the sums through {self.position} are not known, only through "
                    f"{state.get('released', 0)}: the equations of `status` do not close any more"
                )
        if totals is not None:
            self.kept_total, self.copies_total, self.quarantined_total = totals

    def _totals_at(self, position: int) -> list[int] | None:
        """Kept, copies and quarantined through `position`, None if its verdict is not there."""
        frame = SegmentReader(self._home.verdicts, self._files).read_one(position)
        if frame is None:
            return None
        found = decode_verdict(frame.payload)
        return [found.kept_total, found.copies_total, found.quarantined_total]

    def _recover_ids(self) -> None:
        reader = SegmentReader(self._home.verdicts, self._files)
        after = self.ids.checkpoint
        while after < self.position:
            found = reader.read(after, self.position)
            if not found:
                break
            for entry in found:
                if isinstance(entry, Frame):
                    self._remember(decode_verdict(entry.payload))
                    after = entry.position
                else:
                    after = entry.last
            if self.ids.is_full:
                self.ids.spill(after)

    def _remember(self, verdict: Verdict) -> None:
        """Put the kept events of a verdict, and what agents refused, into the id set."""
        remember(self.ids, verdict.position, verdict.refusals)
        outcomes = np.frombuffer(verdict.outcomes, np.uint8)
        kept = np.flatnonzero(outcomes == KEPT)
        if not len(kept):
            return
        group_of = np.frombuffer(verdict.group_of, "<u2")[kept]
        group_hours = np.array([group.hour for group in verdict.groups], dtype=np.int64)
        self.ids.find_or_add(
            [verdict.key(ordinal) for ordinal in kept.tolist()],
            group_hours[group_of],
            np.frombuffer(verdict.hashes, np.uint64)[kept],
            (kept + (verdict.position << 16)).astype(np.uint64),
        )

    def _recover_table(self) -> AgentsTable:
        path = self._home.verdicts / STATE_NAME
        table = AgentsTable()
        if self._files.exists(path):
            table = decode_table(self._files.read(path, 0, self._files.size(path)), path)
        if table.position > self.position:
            table = AgentsTable()  # The verdict store lost its end: fold from the start.
        while table.position < self.position:
            found = self._log.read(table.position, 1 << 22)
            if not found:
                break
            for entry in found:
                if isinstance(entry, Damage):
                    table.skip(min(entry.last, self.position))
                elif entry.position <= self.position:
                    table.apply(entry)
                else:
                    return table
        return table

    # Writing.

    def write(self, judged: list[Judged]) -> None:
        """Make items and verdicts durable, in this order, and publish the position."""
        for each in judged:
            if each.items:
                self.quarantine.append(each.items)
        crash_point("consolidate.quarantined")
        self.quarantine.sync()
        crash_point("consolidate.quarantine_synced")
        kept, copies, quarantined = self.kept_total, self.copies_total, self.quarantined_total
        for each in judged:
            kept += each.kept
            copies += each.copies
            quarantined += sum(item.events for item in each.items)
            verdict = each.verdict
            verdict.kept_total = kept
            verdict.copies_total = copies
            verdict.quarantined_total = quarantined
            self._append(verdict, each)
        crash_point("consolidate.verdict_written")
        self._verdicts.sync()
        crash_point("consolidate.verdict_synced")
        self.kept_total, self.copies_total, self.quarantined_total = kept, copies, quarantined
        self.position = judged[-1].verdict.position
        self._published.publish(self.position)
        self.quarantine.settled()

    def _append(self, verdict: Verdict, judged: Judged) -> None:
        payload = encode_verdict(verdict)
        full = self._segment_bytes + len(payload) > self._settings.verdict_segment_bytes
        if (full and self._segment_frames) or self._segment_frames >= VERDICTS_MAX_PER_SEGMENT:
            self._verdicts.rotate(0)
            self._segment_bytes = self._segment_frames = 0
        position = self._verdicts.append(
            Kind.VERDICT, payload, events=judged.kept, refused=len(judged.items), now_ns=0
        )
        assert position == verdict.position, "verdicts and log have the same positions"
        self._segment_bytes += len(payload)
        self._segment_frames += 1

    def mark_replayed(self, control: dict[str, Any], entry: LogEntry) -> None:
        """Note what a `replayed` control frame says."""
        ids = [str(each) for each in control.get("ids", [])]
        self.quarantine.mark_replayed(ids, entry.position, entry.appended_at_ns)

    def spill_when_due(self) -> None:
        """Spill the id set when it is large, or when its checkpoint is far behind."""
        if self.ids.is_full or self.position - self.ids.checkpoint >= SPILL_POSITIONS:
            self.ids.spill(self.position)
            crash_point("consolidate.spilled")

    def settle(self) -> None:
        """Leave nothing to be recovered."""
        if self.ids.checkpoint < self.position:
            self.ids.spill(self.position)
        if self.table.position == self.position:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Save the agents table and the cursor, and drop verdicts nobody needs."""
        if self._saved == self.position:
            return
        self._files.replace(self._home.verdicts / STATE_NAME, encode_table(self.table))
        crash_point("consolidate.state_saved")
        # Behind the table: the log must keep what the table has not seen.
        self._cursors.commit(CURSOR_NAME, self.position, self._sums_before_log())
        crash_point("consolidate.cursor")
        self._saved = self.position
        # A verdict is needed while its frame is, and while its ids are in memory only. The one
        # before the log's first position tells the sums from which all could be made anew.
        self._verdicts.drop_before(min(self._released, self.ids.checkpoint))

    def _sums_before_log(self) -> dict[str, Any]:
        """What `_read_totals` needs if the verdict store is lost."""
        released = self._log.first_position() - 1
        if released != self._released:
            totals = self._totals_at(released)
            if totals is not None:
                self._released, self._released_totals = released, totals
        return {"released": self._released, "totals": self._released_totals}

    def close(self) -> None:
        """Release all files."""
        self._verdicts.close()
        self.quarantine.close()
        self.ids.close()
        self._published.close()
