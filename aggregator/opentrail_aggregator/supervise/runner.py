"""What runs inside a role's process: its roles' steps in turn, or its server, and the status file.

Two kinds of role. A *stepping* role reads the log: `step()` does a bounded piece of work and tells
whether there may be more. A *serving* role owns an event loop: `run(stop)`. A process has either
kind or both; then the server has the main thread and the steps a thread of their own.

The status file is written by the same loop that works, so a role that hangs has a status that grows
old, and health can tell. A step that raises ends the process: its supervisor says why and starts it
again, and what it had not committed is done once more.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from opentrail.clock import Clock
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics

if TYPE_CHECKING:
    from opentrail_aggregator.config import AggregatorSettings

IDLE_SECONDS = 0.025
PUBLISH_SECONDS = 1.0
_log = logging.getLogger(__name__)

Reload = Callable[[], Coroutine[object, object, None]]
"""What SIGHUP makes a process do."""


class SteppingRole(Protocol):
    """A reader of the log."""

    name: str

    def step(self) -> bool:
        """Do a bounded piece of work; True if there may be more right now."""
        ...

    def close(self) -> None:
        """Let go of everything; what is not committed is done again at the next start."""
        ...


class ServingRole(Protocol):
    """A server."""

    name: str

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`; returning earlier is a fault."""
        ...


@runtime_checkable
class Reloadable(Protocol):
    """A server that takes some settings up while it runs."""

    async def reload(self, settings: "AggregatorSettings") -> None: ...


class RoleEndedError(Exception):
    """A server returned although nobody had asked it to."""


class Publisher:
    """Writes the snapshots of this process's roles once a second."""

    def __init__(self, home: Home, metrics: Sequence[Metrics], clock: Clock) -> None:
        self._home = home
        self._metrics = metrics
        self._clock = clock
        self._due_at = 0.0

    def publish_if_due(self) -> None:
        now = self._clock.monotonic()
        if now >= self._due_at:
            self._due_at = now + PUBLISH_SECONDS
            self.publish()

    def publish(self) -> None:
        """Write all snapshots; a disk that refuses costs the snapshot, not the role."""
        for metrics in self._metrics:
            try:
                metrics.publish(self._home)
            except OSError as error:
                # The old snapshot grows stale, which is how health learns of it.
                _log.warning("status of %s cannot be written: %s", metrics.role, error)


def run_steps(
    roles: Sequence[SteppingRole], stop: threading.Event, publisher: Publisher, clock: Clock
) -> None:
    """Call `step` of `roles` in turn until `stop`, then close them in reverse order."""
    try:
        while not stop.is_set():
            had_work = False
            for role in roles:
                had_work = role.step() or had_work
            publisher.publish_if_due()
            if not had_work:
                clock.pause(IDLE_SECONDS)
    finally:
        for role in reversed(roles):
            role.close()
        publisher.publish()


async def run_servers(
    servers: Sequence[ServingRole],
    roles: Sequence[SteppingRole],
    publisher: Publisher,
    clock: Clock,
    reload: Reload | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; the steps of `roles` run beside in a thread."""
    stop = asyncio.Event()
    stop_steps = threading.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        if reload is not None:
            loop.add_signal_handler(signal.SIGHUP, lambda: group.create_task(reload()))
        serving = [group.create_task(_serve(server, stop), name=server.name) for server in servers]
        background = [group.create_task(_publish(publisher, clock), name="publish")]
        if roles:
            stepping = asyncio.to_thread(run_steps, roles, stop_steps, publisher, clock)
            background.append(group.create_task(stepping, name="steps"))
        try:
            await stop.wait()
        finally:
            # Also when a server failed and the group is being cancelled: the thread must end, or
            # the process would never.
            stop_steps.set()
        await asyncio.wait(serving)
        background[0].cancel()
    publisher.publish()


def run_process(
    servers: Sequence[ServingRole],
    roles: Sequence[SteppingRole],
    publisher: Publisher,
    clock: Clock,
    reload: Reload | None = None,
) -> None:
    """Run until SIGTERM or SIGINT; raises what a role raised."""
    if servers:
        try:
            asyncio.run(run_servers(servers, roles, publisher, clock, reload))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # The first is what made the others end.
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_steps(roles, stop, publisher, clock)


async def _serve(server: ServingRole, stop: asyncio.Event) -> None:
    await server.run(stop)
    if not stop.is_set():
        raise RoleEndedError(f"{server.name} returned though it was not asked to stop")


async def _publish(publisher: Publisher, clock: Clock) -> None:
    while True:
        publisher.publish_if_due()
        await clock.sleep(PUBLISH_SECONDS / 2)
