"""Watch several processes: start them, start them again when they end, end them together.

One thread, one `select`: ends are seen through pidfds, output through pipes, a request to stop
through a pipe of its own, which a signal handler may write to. `turn` does one round and returns,
so that a caller with something else to do (a screen to draw) can do it in between.
"""

import contextlib
import os
import selectors
import signal
from collections.abc import Callable, Sequence

from opentrail.clock import Clock
from opentrail_aggregator.supervise.child import Child, ChildSpec, Ended

FATAL_EXIT_CODES = frozenset({78})
"""Wrong configuration: starting again cannot help, so everything ends with this code."""

REPLACE_SECONDS = 7.0
"""How long a process that is replaced may take to end."""


class Supervisor:
    """Keeps `specs` running until told to stop.

    `on_line(name, text)` gets each line of output, `on_end(ended, delay)` each end that was not
    asked for together with the seconds until the next start (None: there will be none).
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        clock: Clock,
        on_line: Callable[[str, str], None],
        on_end: Callable[[Ended, float | None], None],
    ) -> None:
        self.children = [Child(spec, on_line) for spec in specs]
        self.exit_code: int | None = None
        """Set when everything has to end because one process cannot be helped."""
        self._clock = clock
        self._on_end = on_end
        self.forgives = False
        """Whether a wrong configuration ends one process only, because another is at hand."""
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ)

    def restart(self) -> None:
        """End all processes and start each again as soon as it has ended."""
        kill_at = self._clock.monotonic() + REPLACE_SECONDS
        for child in self.children:
            if child.pid is None:
                child.start_at = self._clock.monotonic()
                continue
            child.kill_at = kill_at
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)

    def wake(self) -> None:
        """End the present wait; may be called from a signal handler."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def request_stop(self) -> None:
        """Make `stopping` true and end the present wait; may be called from a signal handler."""
        self._stopping = True
        with contextlib.suppress(BlockingIOError):  # Full of wishes to wake up: it will.
            os.write(self._wake_write, b"\0")

    @property
    def stopping(self) -> bool:
        return self._stopping

    def run(self) -> int:
        """Work until `request_stop` or a fatal end; the processes are still to be ended."""
        while not self._stopping:
            self.turn(1.0)
        return self.exit_code or 0

    def turn(self, wait_seconds: float) -> None:
        """Start what is due, then wait at most `wait_seconds` for something to happen."""
        now = self._clock.monotonic()
        for child in self.children:
            if child.kill_at is not None and child.pid and child.kill_at <= now:
                child.signal(signal.SIGKILL)
            if child.start_at is not None and not self._stopping:
                if child.start_at <= now:
                    self._start(child)
                else:
                    wait_seconds = min(wait_seconds, child.start_at - now)
        self._wait(wait_seconds)

    def stop(self, grace_seconds: float) -> None:
        """End all processes: SIGTERM, and SIGKILL for what lives after `grace_seconds`."""
        self._stopping = True
        for child in self.children:
            child.start_at = None
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)  # A stopped process would not even see the SIGTERM.
        deadline = self._clock.monotonic() + grace_seconds
        while self._living() and (left := deadline - self._clock.monotonic()) > 0:
            self._wait(left)
        for child in self.children:
            child.signal(signal.SIGKILL)
        while self._living():
            self._wait(1.0)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _living(self) -> list[Child]:
        return [child for child in self.children if child.pid is not None]

    def _start(self, child: Child) -> None:
        now = self._clock.monotonic()
        try:
            child.start(now)
        except OSError as error:
            self._plan(child, Ended(child.spec.name, 127, 0.0, str(error)))
            return
        self._selector.register(child.pidfd, selectors.EVENT_READ, ("end", child))
        self._selector.register(child.output_fd, selectors.EVENT_READ, ("output", child))

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(seconds, 0.0)):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                continue
            what, child = key.data
            if child.pid is None:
                continue  # Its end was handled earlier in this very round.
            if what == "output":
                if not child.read_output():
                    self._selector.unregister(key.fd)
            else:
                self._ended(child)

    def _ended(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        with contextlib.suppress(KeyError):  # Already gone if its output ended first.
            self._selector.unregister(child.output_fd)
        self._plan(child, child.reap(self._clock.monotonic()))

    def _plan(self, child: Child, ended: Ended) -> None:
        if self._stopping:
            return
        if child.kill_at is not None:
            child.kill_at, child.start_at = None, self._clock.monotonic()
            return
        if ended.code in FATAL_EXIT_CODES and not self.forgives:
            self.exit_code = ended.code
            child.start_at = None
            self._on_end(ended, None)
            self.request_stop()
            return
        delay = child.restarts.ended(ended.lived_seconds)
        child.start_at = self._clock.monotonic() + delay
        self._on_end(ended, delay)
