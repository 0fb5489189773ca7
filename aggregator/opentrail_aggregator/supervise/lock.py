"""One owner at a time, with patience for a predecessor that is just dying.

A process killed a moment ago may still hold its lock while the kernel takes it down. So a start
waits up to ten seconds, and only then says who is in the way.
"""

from pathlib import Path

from opentrail.clock import Clock
from opentrail.errors import LockedError
from opentrail.files import FileLock

WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.05


def acquire_lock(path: Path, clock: Clock, wait_seconds: float = WAIT_SECONDS) -> FileLock:
    """Own `path`, waiting up to `wait_seconds`; raises LockedError naming the holder."""
    lock = FileLock(path)
    deadline = clock.monotonic() + wait_seconds
    while True:
        try:
            lock.acquire()
            return lock
        except LockedError as error:
            if clock.monotonic() >= deadline:
                raise LockedError(
                    f"{error}; waited {wait_seconds:g} s: stop that process first, or use "
                    "another --home"
                ) from None
        clock.pause(_POLL_SECONDS)
