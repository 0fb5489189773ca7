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
from opentrail.logs import LoggingSettings, LogLevel, is_json_line, json_line
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.supervise.child import Child, Ended

WELL_AFTER_SECONDS = 5.0
"""A successor that lives this long ends the problem; health promises to be true within 15 s."""


_SEVERITY: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")
_DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


class Report:
    """Turns what a supervisor notices into lines, counters and problems."""

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics | None = None,
        out: Callable[[str], None] | None = None,
        logging: LoggingSettings | None = None,
    ) -> None:
        self.logging = logging or LoggingSettings()
        """In force; a reload may change it."""
        self._clock = clock
        self._metrics = metrics
        self._out = out or _print
        self._sick: set[str] = set()

    def say(self, text: str, level: LogLevel = "info") -> None:
        """One line with the time."""
        if _SEVERITY.index(level) < _SEVERITY.index(self.logging.level):
            return
        seconds = self._clock.now_ns() / 1e9
        if self.logging.format == "json":
            self._out(json_line(seconds, level, "supervisor", __name__, text, {}))
            return
        moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._out(f"{moment} {text}")

    def line(self, name: str, text: str) -> None:
        """A line that a process wrote; one that is a log line has its time already."""
        if is_json_line(text) or _DATED.match(text):
            self._out(text)
        elif self.logging.format == "json":
            # Not by way of its log: a traceback, or what a library prints.
            self._out(json_line(self._clock.now_ns() / 1e9, "error", name, "output", text, {}))
        else:
            self.say(f"{name}: {text}", "error")

    def ended(self, ended: Ended, delay: float | None) -> None:
        """A process ended unasked."""
        if delay is None:
            then = "starting it again cannot help: ending everything"
        else:
            then = "starting it again at once" if not delay else f"starting again in {delay:g} s"
        self.say(f"{ended}; {then}", "error")
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
