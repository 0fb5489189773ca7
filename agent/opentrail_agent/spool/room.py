"""Whether the spool may take more: its own limit and the disk's reserve.

When it may not, the caller waits, and with it the source. Nothing is ever dropped to make room.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def free_bytes(directory: Path) -> int:
    """Bytes on the file system of `directory` that this user may still write."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


@dataclass(frozen=True, slots=True)
class Room:
    """How large a spool may grow."""

    max_bytes: int
    reserve_bytes: int
    free: Callable[[], int]
    """Bytes free on the disk."""

    def refusal(self, held: int, more: int) -> str:
        """Why `more` bytes cannot be taken beside `held`; empty if they can."""
        if held + more > self.max_bytes:
            return (
                f"the spool holds {held} bytes, {more} more would pass spool.max_bytes "
                f"{self.max_bytes}; it takes more when the aggregator acknowledges "
                "(ship.release: archived: when it has archived)"
            )
        free = self.free()
        if free - more < self.reserve_bytes:
            return (
                f"the disk has {free} bytes free, {more} more would touch spool.reserve_bytes "
                f"{self.reserve_bytes}; free some space on it"
            )
        return ""
