"""How stages live and end together.

A stage is a name and a `run()` that only ends by failing or by being told to. Nothing is handed
over through memory alone, so a stop is a crash with manners: sources are given a moment to note how
far they are, everything else is cancelled, and what was under way is done again at the next start.
"""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Protocol

from opentrail.errors import OpenTrailError

STOP_SECONDS = 3.0
"""How long stages that stop themselves may take."""
LAST_SECONDS = 9.0
"""After a signal the process ends within this, whatever hangs."""
PARENT_VARIABLE = "OPENTRAIL_PARENT"
_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)


class Stage(Protocol):
    """Something that runs as long as the agent."""

    @property
    def name(self) -> str: ...

    async def run(self) -> None:
        """Run forever; safe to cancel at any await."""
        ...


class StageEndedError(OpenTrailError):
    """A stage returned without being told to; nothing else would notice."""


async def run_stages(
    stages: Sequence[Stage], stop: asyncio.Event, stopping: Sequence[Stage] = ()
) -> None:
    """Run all until `stop` is set; if one fails, cancel the rest and raise its fault.

    `stopping` are the ones among `stages` that return by themselves soon after `stop`.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {
                group.create_task(_run_forever(stage, stop), name=stage.name): stage
                for stage in stages
            }
            await stop.wait()
            waited_for = [task for task, stage in tasks.items() if stage in stopping]
            if waited_for:
                await asyncio.wait(waited_for, timeout=STOP_SECONDS)
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as group_of_faults:
        raise group_of_faults.exceptions[0] from None


async def _run_forever(stage: Stage, stop: asyncio.Event) -> None:
    await stage.run()
    if not stop.is_set():
        raise StageEndedError(f"the stage {stage.name} ended, nobody told it to")


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and SIGINT set `stop`, and end the process if that does not help in time."""
    loop = asyncio.get_running_loop()

    def begin_to_stop() -> None:
        if not stop.is_set():
            stop.set()
            timer = threading.Timer(LAST_SECONDS, _end_now)
            timer.daemon = True
            timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_to_stop)


def _end_now() -> None:
    # A thread may hang in a system call on a dead disk. What it was doing was promised to nobody.
    _log.error("something still hangs after %g s; ending without it", LAST_SECONDS)
    os._exit(1)


def die_with_parent() -> None:
    """End this process, as by SIGKILL, when its parent ends.

    The kernel does it, so nothing has to be noticed by polling; every stage survives a kill. The
    parent may name itself in OPENTRAIL_PARENT, so that one that died first is noticed too.
    """
    named = os.environ.get(PARENT_VARIABLE, "")
    parent = int(named) if named.isdigit() else os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:
        sys.exit(f"the parent process {parent} has ended; ending too")
