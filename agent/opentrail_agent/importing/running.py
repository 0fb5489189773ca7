"""Runs an import: while one batch is being made durable the next one is read and cut."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from opentrail.clock import Clock

from ..capture.following import SpoolAppend, unless_stopped
from .cutting import Step
from .progress import ImportProgress, ImportResult

_PROGRESS_SECONDS = 0.2


class Work(Protocol):
    """What is imported, step by step, in one thread."""

    progress: ImportProgress
    is_stopping: bool

    def steps(self) -> Iterator[Step]:
        """Every batch, in order."""
        ...

    def spooled(self, step: Step) -> None:
        """The batch of `step` is durable."""
        ...

    def complete(self) -> None:
        """Everything is in the spool."""
        ...

    def close(self) -> None:
        """Make durable how far it came."""
        ...

    def result(self) -> ImportResult: ...


async def run_work(
    work: Work,
    spool_append: SpoolAppend,
    progress: Callable[[ImportProgress], None],
    stop: asyncio.Event,
    clock: Clock,
    crash: Callable[[str], None],
) -> ImportResult:
    """Do `work` until it is done or `stop`; `progress` is called now and then."""
    ticking = asyncio.ensure_future(_tick(clock, progress, work.progress))
    try:
        with ThreadPoolExecutor(1, "import") as thread:
            try:
                await _run(work, thread, spool_append, stop, crash)
            finally:
                work.is_stopping = True
    finally:
        ticking.cancel()
        work.close()
    progress(work.progress)
    return work.result()


async def _run(
    work: Work,
    thread: ThreadPoolExecutor,
    spool_append: SpoolAppend,
    stop: asyncio.Event,
    crash: Callable[[str], None],
) -> None:
    async def next_step() -> Step | None:
        return await asyncio.get_running_loop().run_in_executor(thread, next, steps, None)

    async def spool(step: Step | None) -> bool:
        if step is None:
            return False
        positions = {key: place.offset for key, place in step.reached.items() if place}
        await spool_append(step.batch.payload, step.batch.events, step.batch.refused, positions)
        crash("agent.spooled")
        work.spooled(step)
        return True

    steps = iter(work.steps())
    pending = await unless_stopped(stop, next_step(), None)
    while pending is not None and not stop.is_set():

        async def both(step: Step = pending) -> Step | None:
            following, _ = await asyncio.gather(next_step(), spool(step))
            return following

        pending = await unless_stopped(stop, both(), None)
    if not stop.is_set():
        work.complete()


async def _tick(
    clock: Clock, progress: Callable[[ImportProgress], None], state: ImportProgress
) -> None:
    while True:
        await clock.sleep(_PROGRESS_SECONDS)
        progress(state)
