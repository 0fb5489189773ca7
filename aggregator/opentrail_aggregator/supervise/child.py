"""One process under watch: its start, its output, its end and the reason for it.

Output (both streams through one pipe) is handed on line by line; the last lines are kept, because
the last thing a process said is usually why it ended.
"""

import collections
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from opentrail.logs import message_of
from opentrail_aggregator.supervise.parent import (
    PARENT_VARIABLE,
    ask_to_die_with_parent,
)
from opentrail_aggregator.supervise.restarts import Restarts

LINE_MAX_BYTES = 4096
"""A longer line of output is cut into several: bounds what a child can make its parent hold."""
_READ_BYTES = 65536
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the parent's environment."""


@dataclass(frozen=True, slots=True)
class Ended:
    """That a process ended, and why, as far as can be seen from outside."""

    name: str
    code: int
    """Exit code, or minus the signal's number."""
    lived_seconds: float
    last_line: str

    def __str__(self) -> str:
        if self.code < 0:
            try:
                how = f"killed by {signal.Signals(-self.code).name}"
            except ValueError:
                how = f"killed by signal {-self.code}"
        else:
            how = f"exit code {self.code}"
        said = f"; it said last: {self.last_line}" if self.last_line else ""
        return f"{self.name} ended after {self.lived_seconds:.1f} s ({how}){said}"


class Child:
    """A process, or the wait for its next start."""

    def __init__(self, spec: ChildSpec, on_line: Callable[[str, str], None]) -> None:
        self.spec = spec
        self.restarts = Restarts()
        self.start_at: float | None = 0.0
        """By the monotonic clock: when to start it; None while it runs or is not wanted."""
        self.started_at = 0.0
        self.kill_at: float | None = None
        """It is being replaced: its end is no failure, and comes by this moment."""
        self.pidfd = -1
        self._on_line = on_line
        self._process: subprocess.Popen[bytes] | None = None
        self._partial = b""
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)

    def __repr__(self) -> str:
        if self._process is None:
            return f"<Child {self.spec.name} [NOT RUNNING, failures: {self.restarts.failures}]>"
        return f"<Child {self.spec.name} [RUNNING, pid {self._process.pid}]>"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def output_fd(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def start(self, now: float) -> None:
        """Start the process; OSError if that is impossible."""
        self._process = subprocess.Popen(
            self.spec.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.spec.environment, PARENT_VARIABLE: str(os.getpid())},
            # A group of its own: Ctrl-C in the terminal reaches the parent only, which then ends
            # its children in order.
            process_group=0,
            # Before it is a Python that could ask for it itself: on a busy machine that takes long.
            preexec_fn=ask_to_die_with_parent,
        )
        os.set_blocking(self.output_fd, False)
        self.pidfd = os.pidfd_open(self._process.pid)
        self.started_at = now
        self.start_at = None
        self._partial = b""
        self._tail.clear()

    def read_output(self) -> bool:
        """Hand on what the process wrote; False once it can write no more."""
        try:
            chunk = os.read(self.output_fd, _READ_BYTES)
        except BlockingIOError:
            return True
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        if len(self._partial) > LINE_MAX_BYTES or (not chunk and self._partial):
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            for start in range(0, max(len(line), 1), LINE_MAX_BYTES):
                text = line[start : start + LINE_MAX_BYTES].decode("utf-8", "replace").rstrip()
                if text:
                    self._tail.append(text)
                    self._on_line(self.spec.name, text)
        return bool(chunk)

    def signal(self, number: int) -> None:
        """Send a signal, if there is a process to send it to."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def reap(self, now: float) -> Ended:
        """Take leave of a process whose end was seen; its output is read to the end."""
        assert self._process is not None
        code = self._process.wait()
        # What is in the pipe now is all the process said. A grandchild may still hold the other
        # end, so end of file is not waited for.
        before = None
        while self.read_output() and before != (state := (len(self._tail), self._partial)):
            before = state
        assert self._process.stdout is not None
        self._process.stdout.close()
        os.close(self.pidfd)
        self._process = None
        self.pidfd = -1
        last = message_of(self._tail[-1]) if self._tail else ""
        return Ended(self.spec.name, code, now - self.started_at, last)
