"""Opening watched files: what cannot be opened is said, and few are held open at once."""

import errno
import os
from collections.abc import Callable

from ..metrics import Metrics

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Access:
    """Opens files for reading; `make_room` closes some when the process may not open more."""

    def __init__(self, metrics: Metrics, make_room: Callable[[], None]) -> None:
        self._metrics = metrics
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

    def tell(self) -> None:
        """Say what could not be read, or that everything can be."""
        if not self.problems:
            self._metrics.healed("capture.access")
            return
        few = "; ".join(list(self.problems.values())[:3])
        self._metrics.problem(
            "capture.access", f"{len(self.problems)} watched paths cannot be read: {few}"
        )
