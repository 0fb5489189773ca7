"""One screen of honest progress; plain lines where there is no terminal.

On a terminal the block below is drawn over itself, and what the processes say goes to a file,
its last lines shown underneath. Elsewhere their lines are passed on, and a line of figures comes
when they changed.
"""

import contextlib
import shutil
import sys
from collections import deque
from pathlib import Path
from typing import Protocol, TextIO

from opentrail.clock import Clock
from opentrail_aggregator.cli.progress import Figures
from opentrail_aggregator.cli.table import clean, fit, terminal_width

PLAIN_SECONDS = 10.0
LOG_MAX_BYTES = 8 * 1024 * 1024
_SHOWN_LINES = 4


class Screen(Protocol):
    """Where `opentrail up` shows what it does."""

    def say(self, line: str) -> None:
        """A line from a process or about one."""
        ...

    def show(self, figures: Figures) -> None:
        """The latest figures."""
        ...

    def close(self) -> None: ...


class PlainScreen:
    """Lines: what was said at once, figures when they changed and now and then."""

    def __init__(self, clock: Clock, out: TextIO | None = None) -> None:
        self._clock = clock
        self._out = out or sys.stdout
        self._last: Figures | None = None
        self._due_at = 0.0

    def say(self, line: str) -> None:
        # A disk that is full must not end what waits for space on it; this line is lost.
        with contextlib.suppress(OSError):
            print(line, file=self._out, flush=True)

    def show(self, figures: Figures) -> None:
        if not figures.answered or figures == self._last:
            return
        now = self._clock.monotonic()
        urgent = self._last is None or figures.problems != self._last.problems
        if now >= self._due_at or urgent:
            self._due_at = now + PLAIN_SECONDS
            self._last = figures
            self.say(one_line(figures))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._out.flush()


class TerminalScreen:
    """A block that is drawn over itself."""

    def __init__(self, clock: Clock, heading: list[str], log: Path) -> None:
        self._clock = clock
        self._heading = heading
        self._log_path = log
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if log.exists() and log.stat().st_size < LOG_MAX_BYTES else "w"
        self._log = open(log, mode, encoding="utf-8", errors="replace")  # noqa: SIM115
        self._lines: deque[str] = deque(maxlen=_SHOWN_LINES)
        self._drawn = 0
        self._before: tuple[float, int] | None = None
        self._rate = 0.0

    def say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # Likewise.
            self._log.write(line + "\n")
            self._log.flush()
        self._lines.append(clean(line))

    def show(self, figures: Figures) -> None:
        self._measure(figures)
        width = terminal_width()
        lines = [*self._heading, "", *block(figures, self._rate), ""]
        lines += [f"  {line}" for line in self._lines]
        # The cursor cannot go back above the screen's first line.
        lines = lines[: max(shutil.get_terminal_size((80, 24)).lines - 1, 1)]
        text = "".join(f"\033[2K{fit(line, width - 1).rstrip()}\n" for line in lines)
        # Lines that are gone since the last time are cleared by "erase below".
        up = f"\033[{self._drawn}A" if self._drawn else ""
        sys.stdout.write(f"{up}{text}\033[J")
        sys.stdout.flush()
        self._drawn = len(lines)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._log.close()

    def _measure(self, figures: Figures) -> None:
        if not figures.answered:
            return
        now = self._clock.monotonic()
        if self._before is None or figures.received < self._before[1]:
            self._before = (now, figures.received)
        elif now - self._before[0] >= 2.0:
            self._rate = (figures.received - self._before[1]) / (now - self._before[0])
            self._before = (now, figures.received)


def block(figures: Figures, rate: float) -> list[str]:
    """The figures, a few lines."""
    if not figures.answered:
        return ["  starting …"]
    lines = [
        f"  received    {figures.received:>14,}    {rate:,.0f}/s",
        f"  searchable  {figures.searchable:>14,}    {figures.waiting_index:,} on the way",
        f"  archived    {figures.archived:>14,}    {figures.waiting_archive:,} gathering until "
        "their hour ends",
        f"  lag         {_lag(figures):>14}    {figures.duplicates:,} copies, "
        f"{figures.quarantined:,} in quarantine",
    ]
    lines += [f"  SUMS WRONG: {each}" for each in figures.wrong]
    lines += [f"  ! {clean(each)}" for each in figures.problems[:5]]
    return lines


def one_line(figures: Figures) -> str:
    """The same as one line."""
    text = (
        f"received {figures.received}  searchable {figures.searchable}  "
        f"archived {figures.archived}  lag {_lag(figures)}  quarantined {figures.quarantined}"
    )
    for each in (*figures.wrong, *figures.problems):
        text += f"\n! {clean(each)}"
    return text


def _lag(figures: Figures) -> str:
    return "unknown" if figures.lag_seconds is None else f"{figures.lag_seconds:.1f} s"
