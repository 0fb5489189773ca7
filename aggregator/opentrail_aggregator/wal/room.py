"""Whether there is room for one more frame, and what to tell who asks when there is not.

Batches leave two things alone that control frames may use: a stretch beyond `log.max_bytes`, and
half of the disk's reserve. So heartbeats and seals, which is what empties the log, still get in
when it is full.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opentrail.clock import Clock
from opentrail_aggregator.wal.settings import DiskSettings, LogSettings

_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Space:
    """What is taken and what is left."""

    log_bytes: int
    """On disk and on the way there."""
    free_bytes: int
    """On the disk of the log."""


def refusal(
    log: LogSettings, disk: DiskSettings, space: Space, size: int, *, is_control: bool
) -> str:
    """Why a frame of `size` bytes does not fit; empty if it does."""
    limit = log.max_bytes + (log.control_reserve if is_control else 0)
    reserve = disk.reserve // (2 if is_control else 1)
    if space.log_bytes + size > limit:
        return (
            f"the log holds {space.log_bytes} bytes of {log.max_bytes} (log.max_bytes): its "
            "readers have to catch up first, see `opentrail status`"
        )
    if space.free_bytes - size < reserve:
        return (
            f"{space.free_bytes} bytes are free on the disk of the log, "
            f"{disk.reserve} are kept (disk.reserve): free some space"
        )
    return ""


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write on the disk of `path`."""
    return shutil.disk_usage(path).free


class Room:
    """Answers `refusal` for the log as it is now; looks at the disk twice a second at most."""

    def __init__(
        self,
        log: LogSettings,
        disk: DiskSettings,
        clock: Clock,
        log_bytes: Callable[[], int],
        free: Callable[[], int],
    ) -> None:
        self._log = log
        self._disk = disk
        self._clock = clock
        self._log_bytes = log_bytes
        self._free = free
        self._free_bytes = free()
        self._looked_at = clock.monotonic()
        self._written_since = 0
        self._refused_bytes = 0

    def refusal(self, size: int, *, is_control: bool = False) -> str:
        """Why there is no room for `size` more bytes; empty if there is, and then it is taken."""
        space = self.space()
        text = refusal(self._log, self._disk, space, size, is_control=is_control)
        if not text:
            self._written_since += size
        elif not is_control:
            self._refused_bytes = max(self._refused_bytes, size)
        return text

    def problem(self, size: int) -> str:
        """What a batch of `size` bytes, or the largest refused before, is told; takes nothing.

        Empty again once that one would fit: a log that refuses some is not in order.
        """
        wanted = max(size, self._refused_bytes)
        text = refusal(self._log, self._disk, self.space(), wanted, is_control=False)
        if not text:
            self._refused_bytes = 0
        return text

    def space(self) -> Space:
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._free_bytes, self._looked_at, self._written_since = self._free(), now, 0
        return Space(self._log_bytes(), self._free_bytes - self._written_since)
