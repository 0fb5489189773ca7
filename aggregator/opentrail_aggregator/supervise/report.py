"""What a supervisor tells: to whoever reads its output, and to the HTTP port.

A process that ended is a problem from that moment until its successor has lived for a while; so is
one that cannot be started. Health and metrics read it from the supervisor's own status file.
"""

import contextlib
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from opentrail.clock import Clock
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.supervise.child import Child, Ended

WELL_AFTER_SECONDS = 5.0
"""A successor that lives this long ends the problem; health promises to be true within 15 s."""


_DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


class Report:
    """Turns what a supervisor notices into lines, counters and problems."""

    def __init__(
        self, clock: Clock, metrics: Metrics | None = None, out: Callable[[str], None] | None = None
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._out = out or _print
        self._sick: set[str] = set()

    def say(self, text: str) -> None:
        """One line with the time."""
        seconds = self._clock.now_ns() // 1_000_000_000
        moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._out(f"{moment} {text}")

    def line(self, name: str, text: str) -> None:
        """A line that a process wrote; one that is a report itself has its time already."""
        if _DATED.match(text):
            self._out(text)
        else:
            self.say(f"{name}: {text}")

    def ended(self, ended: Ended, delay: float | None) -> None:
        """A process ended unasked."""
        if delay is None:
            then = "starting it again cannot help: ending everything"
        else:
            then = "starting it again at once" if not delay else f"starting again in {delay:g} s"
        self.say(f"{ended}; {then}")
        if self._metrics is not None:
            self._metrics.increment("opentrail_process_restarts_total", process=ended.name)
            self._metrics.problem(f"process:{ended.name}", str(ended))
        self._sick.add(ended.name)

    def look(self, children: list[Child]) -> None:
        """End the problem of each process that has been well for a while."""
        now = self._clock.monotonic()
        for child in children:
            name = child.spec.name
            if name in self._sick and child.pid and now - child.started_at >= WELL_AFTER_SECONDS:
                self._sick.discard(name)
                if self._metrics is not None:
                    self._metrics.healed(f"process:{name}")


def _print(text: str) -> None:
    # Standard error may be a file on a disk that is full, or a pipe nobody reads any more.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
