"""Opening the log and its ledger, and keeping the two in step.

At a start: the log recovers its tail, the ledger as last written is loaded, and the frames behind
it are read once more. While running: the ledger is written down whenever a segment was sealed, and
segments go once everybody has passed them and the ledger remembers them.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.segment.frame import RELEASED, Damage, Kind
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.ledger_store import LedgerStore
from opentrail_aggregator.wal.cursors import DIRECTORY, Cursors
from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.lineage import read_lineage
from opentrail_aggregator.wal.log import NewFrame, control_frame
from opentrail_aggregator.wal.published import PublishedPosition, UnsharedPosition
from opentrail_aggregator.wal.release import (
    is_pressed,
    read_standings,
    reader_limits,
    release_through,
)
from opentrail_aggregator.wal.settings import LogSettings
from opentrail_aggregator.wal.steps import SteppedFiles
from opentrail_aggregator.wal.writer import LogThread

CATCH_UP_BYTES = 8 << 20


class Books:
    """The log, the thread that writes it, and the ledger that follows it."""

    def __init__(
        self,
        home: Home,
        settings: LogSettings,
        logical: Mapping[str, Any],
        clock: Clock,
        files: Files = DISK,
    ) -> None:
        stepped = SteppedFiles("wal", files)
        self._settings = settings
        self._home = home
        self._files = files
        self._settings_frame = control_frame("settings", dict(logical))
        self._settings_digest = hashlib.sha256(self._settings_frame.payload).hexdigest()
        self._is_rotated = False
        self._released_through = 0
        self.limits: dict[str, int] = {}
        """Of each reader the last position that may go as far as it is concerned."""
        self._reader = DiskLogReader(home.log, files, UnsharedPosition())
        self.log = DiskLog(
            home.log,
            clock,
            segment_bytes=settings.effective_segment_bytes,
            files=stepped,
            published=PublishedPosition(home.log, writing=True),
            floor=self._readers_floor(),
            first_in_segment=lambda: self._settings_frame,
            on_rotated=self._note_rotated,
        )
        try:
            self._open_ledger(stepped)
        except BaseException:
            self.log.close()  # It is opened again, perhaps many times.
            raise
        self.thread = LogThread(self.log)

    def _open_ledger(self, files: Files) -> None:
        self.store = LedgerStore(self._home.log, files)
        self.ledger = self.store.load(self.log.log_id)
        self.ledger.follows = tuple(
            read_lineage(self._home.log, self.log.log_id, self._files).follows
        )
        self.lost_positions = self._catch_up()
        self.cursors = Cursors(self._home.log / DIRECTORY, self.log.log_id, self._files)
        if self.ledger.settings_digest != self._settings_digest:
            self._write_settings()

    def settings_frame(self, logical: Mapping[str, Any]) -> NewFrame:
        """The frame that says what decides results from now on; also first in later segments.

        The caller writes it. A segment that begins before it is written says it too early by a few
        frames, which does no harm; the other way round would take it back.
        """
        self._settings_frame = control_frame("settings", dict(logical))
        self._settings_digest = hashlib.sha256(self._settings_frame.payload).hexdigest()
        return self._settings_frame

    @property
    def findings(self) -> list[str]:
        """What opening found and survived."""
        return self.log.findings + self.store.findings

    @property
    def damage(self) -> list[str]:
        """Those findings that cost something, or need somebody to look."""
        return self.log.damage + self.store.findings

    def first_position(self) -> int:
        """The lowest position not released."""
        return self._reader.first_position()

    def save_if_rotated(self) -> None:
        """Write the ledger down if a segment was sealed since the last time. Raises OSError."""
        if self._is_rotated:
            self._is_rotated = False
            try:
                self.store.save(self.ledger)
            except OSError:
                self._is_rotated = True
                raise

    @property
    def is_pressed(self) -> bool:
        """Whether the log is so full that what can go should go at once."""
        return is_pressed(self.log.size_bytes, self._settings.max_bytes)

    def release(self) -> None:
        """Let segments go that nobody needs any more. Raises OSError, DamagedError."""
        _, archive = self.cursors.read("archive")
        self.ledger.archived.advance(int(archive.get("archived_through", 0)))
        standings = read_standings(self.cursors, self._settings.readers)
        through = release_through(
            standings,
            self._settings.readers,
            self.store.written_position,
            is_pressed=self.is_pressed,
        )
        # As it will be when the log is nearly full: what an index can read elsewhere is no cause.
        self.limits = reader_limits(standings, self._settings.readers, is_pressed=True)
        if through > self._released_through:
            self._released_through = through
            self.thread.drop_before(through + 1, on_failed=self._release_again)

    def close(self) -> None:
        """Commit what was submitted, write the ledger down, let go of the log."""
        self.thread.close()
        self.store.save(self.ledger)

    def _release_again(self) -> None:
        self._released_through = 0

    def _note_rotated(self) -> None:
        self._is_rotated = True

    def _readers_floor(self) -> int:
        """The last position that any reader has been at: none of them may be used again."""
        cursors = Cursors(self._home.log / DIRECTORY, _log_id(self._home, self._files), self._files)
        floor = 0
        for name in cursors.names():
            try:
                floor = max(floor, cursors.read(name)[0])
            except DamagedError:
                continue  # Its reader reports it; the others and `durable` still bound it.
        return floor

    def _catch_up(self) -> int:
        """Book what the log holds behind the ledger; how many positions could not be read."""
        crash_point("wal.catching_up")
        through = self.log.durable_position
        reader = DiskLogReader(self._home.log, self._files, UnsharedPosition(through))
        lost = 0
        after = self.ledger.position
        while after < through:
            entries = reader.read(after, CATCH_UP_BYTES)
            if not entries:
                break
            for entry in entries:
                if isinstance(entry, Damage):
                    after = self.ledger.position = entry.last
                    if entry.reason != RELEASED:
                        lost += entry.last - entry.first + 1
                    continue
                after = entry.position
                self.ledger.follow(entry)
                if entry.kind is Kind.CONTROL and entry.payload.startswith(b'{"type":"settings"'):
                    self.ledger.settings_digest = hashlib.sha256(entry.payload).hexdigest()
            if self.ledger.recent_digests() > 1 << 20:
                self.store.save(self.ledger)  # A very long way to catch up: keep memory flat.
        return lost

    def _write_settings(self) -> None:
        outcome = self.log.commit([self._settings_frame])
        if outcome.error is not None:
            raise OSError(str(outcome.error))
        self.ledger.settings_digest = self._settings_digest
        self.ledger.position = outcome.positions[-1]


def _log_id(home: Home, files: Files) -> str:
    return DiskLogReader(home.log, files, UnsharedPosition()).log_id
