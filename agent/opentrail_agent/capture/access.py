"""Opening watched files: what cannot be opened is said, and few are held open at once.

A file that cannot be read may hold anything, so the agent does not say that all of an hour is in
the spool when that is news. But nobody may ever make it readable: after a while it is left to the
alarm, and what it turns out to hold comes late.
"""

import errno
import os
from collections.abc import Callable, Iterable

from opentrail.clock import Clock

from ..metrics import Metrics

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

HOLDS_BACK_SECONDS = 60.0
"""How long something unreadable keeps the agent from saying that it has read everything."""


class Access:
    """Opens files for reading; `make_room` closes some when the process may not open more."""

    def __init__(self, metrics: Metrics, clock: Clock, make_room: Callable[[], None]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._since: dict[str, float] = {}
        self._make_room = make_room
        self.problems: dict[str, str] = {}
        """Path -> why it could not be read, since the scan began."""

    def open(self, path: str) -> int | None:
        """The file at `path`; None if there is none or it may not be read."""
        for may_repeat in (True, False):
            try:
                return os.open(path, _FLAGS)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE) and may_repeat:
                    self._make_room()
                    continue
                self.problems[path] = f"{path}: {error.strerror}"
        return None

    def holds_back(self, failing: Iterable[str]) -> bool:
        """Whether something could be read not long ago, of `problems` and the paths `failing`."""
        now = self._clock.monotonic()
        self._since = {
            path: self._since.get(path, now) for path in (*self.problems, *failing)
        }  # fmt: skip
        self._metrics.set("opentrail_agent_unreadable_paths", len(self._since))
        return any(now - since < HOLDS_BACK_SECONDS for since in self._since.values())

    def tell(self) -> None:
        """Say what could not be read, or that everything can be."""
        if not self.problems:
            self._metrics.healed("capture.access")
            return
        few = "; ".join(list(self.problems.values())[:3])
        self._metrics.problem(
            "capture.access", f"{len(self.problems)} watched paths cannot be read: {few}"
        )
