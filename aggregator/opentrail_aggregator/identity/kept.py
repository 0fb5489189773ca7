"""One JSON file of this room: a format number, changed by one process at a time, read when changed.

{"format": 1, "entries": {KEY: {…}}}      replaced atomically, mode 0600; PATH.lock beside it
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import DamagedError, LockedError
from opentrail.files import DISK, FileLock
from opentrail.formats import newer

FORMAT = 1
LOCK_SECONDS = 5.0

Entries = dict[str, dict[str, Any]]


class KeptFile:
    """Entries by key."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._entries: Entries = {}

    def entries(self) -> Entries:
        """What the file holds now; nothing if there is none. Raises DamagedError, OSError."""
        self.refresh()
        return self._entries

    @property
    def held(self) -> Entries:
        """What was read last."""
        return self._entries

    def refresh(self) -> bool:
        """Read the file if it changed; whether it did."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            changed, self._seen, self._entries = self._seen is not None, None, {}
            return changed
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen == self._seen:
            return False
        self._entries = read_entries(self.path)
        self._seen = seen
        return True

    @contextlib.contextmanager
    def changing(self) -> Iterator[Entries]:
        """The entries, to be changed; written when the block ends without an error."""
        DISK.make_directory(self.path.parent)
        lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        until = self._clock.monotonic() + LOCK_SECONDS
        while True:
            try:
                lock.acquire()
                break
            except LockedError:
                if self._clock.monotonic() >= until:
                    raise
            self._clock.pause(0.02)
        try:
            self.refresh()
            entries: Entries = json.loads(json.dumps(self._entries))
            yield entries
            if entries != self._entries:
                content = {"format": FORMAT, "entries": entries}
                DISK.replace(self.path, json.dumps(content, indent=1).encode())
        finally:
            lock.release()


def read_entries(path: Path) -> Entries:
    """The entries of a file; NewerFormatError and DamagedError leave it as it is."""
    try:
        content = json.loads(path.read_bytes())
        version, entries = content["format"], content["entries"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"{path}: not what OpenTrail wrote ({error!r}); bring it back from a backup"
        ) from None
    if version > FORMAT:
        raise newer(path, version, FORMAT)
    if not isinstance(entries, dict):
        raise DamagedError(f"{path}: its entries are no object; bring it back from a backup")
    return entries
