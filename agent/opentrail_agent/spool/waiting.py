"""What waits for the spool's thread, and who waits for it on the event loop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from opentrail_agent.spool.spool import Sealed


@dataclass(slots=True)
class Waiting:
    """A batch on its way to the disk."""

    batch: Sealed
    future: "asyncio.Future[int]"


@dataclass(slots=True)
class Change:
    """A change of the standing that its caller waits for."""

    apply: Callable[[], None]
    future: "asyncio.Future[int]"


def reject(group: list[Waiting], error: Exception) -> None:
    """None of `group` is kept."""
    for waiting in group:
        if not waiting.future.done():
            waiting.future.set_exception(error)


def resolve(futures: "list[asyncio.Future[int]]", value: int) -> None:
    """What they wait for is done."""
    for future in futures:
        if not future.done():
            future.set_result(value)
