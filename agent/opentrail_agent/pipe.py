"""`opentrail-agent pipe`: events from standard input.

A pipe cannot be asked again: what was read and is not in the spool yet is lost if this process
dies, and nothing tells a repeated input from a new one. So each run is a generation of its own, and
records without an eventID become new events each time they are piped in; it says so at its start.
"""

import asyncio
import os
import select
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from opentrail.clock import Clock, SystemClock
from opentrail.limits import BATCH_RAW_BYTES

from .capture.batching import Batch, Draft, Origin, Pacer
from .capture.following import SpoolAppend
from .capture.mapping import Mapping
from .capture.positions import new_generation
from .capture.redact import redactor_of
from .capture.settings import Kind, MappingSettings, Redact
from .capture.sight import Sight
from .capture.splitter import Splitter

NOTICE = (
    "reading events from standard input; records without an eventID get a new one in each run: "
    "piping the same input again doubles them (opentrail import FILE does not)"
)
_WAIT_SECONDS = 0.2
LINGER_SECONDS = 0.25
STOP_SECONDS = 5.0
"""How long a stop waits for the spool to take what was read."""


@dataclass(frozen=True, slots=True)
class PipeResult:
    """What came through the pipe and is in the spool."""

    events: int
    refused: int
    bytes_read: int
    is_complete: bool
    """The input ended; False: stopped before."""


async def run_pipe(
    fd: int,
    spool_append: SpoolAppend,
    stop: asyncio.Event,
    *,
    notify: Callable[[str], None],
    clock: Clock | None = None,
    name: str = "stdin",
    kind: Kind = "auto",
    account: str = "",
    region: str = "",
    mapping: MappingSettings | None = None,
    redact: Redact = "auto",
) -> PipeResult:
    """Take events from `fd` until it ends or `stop`; what was read by then is spooled."""
    notify(NOTICE)
    source = f"pipe:{name}"
    apply = Mapping(mapping, source) if mapping is not None and kind == "mapped" else None
    redactor = redactor_of(redact, kind, source)
    origin = Origin(source, new_generation(), "pipe", account, region, apply, redactor)
    reader = _Reader(fd, origin, kind in ("auto", "cloudtrail"), clock or SystemClock())
    events = refused = 0
    with ThreadPoolExecutor(1, "pipe") as thread:
        while not reader.is_spent:
            reader.is_stopping = stop.is_set()
            batch = await asyncio.get_running_loop().run_in_executor(thread, reader.next)
            if batch is None:
                continue
            positions = {origin.generation: reader.offset}
            append = spool_append(batch.payload, batch.events, batch.refused, positions)
            if not await _before_the_end(stop, append):
                break
            events += batch.events
            refused += batch.refused
    return PipeResult(events, refused, reader.bytes_read, reader.has_ended)


async def _before_the_end(stop: asyncio.Event, append: Awaitable[None]) -> bool:
    """Whether `append` is done before `stop`, or soon after: nobody else has these events."""
    doing = asyncio.ensure_future(append)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            await asyncio.wait((doing,), timeout=STOP_SECONDS)
    finally:
        stopping.cancel()
        doing.cancel()
        await asyncio.wait((doing, stopping))
    return not doing.cancelled() and doing.result() is None


class _Reader:
    """Reads and cuts the input, in one thread."""

    def __init__(self, fd: int, origin: Origin, containers: bool, clock: Clock) -> None:
        self.bytes_read = 0
        self.has_ended = False
        self.is_stopping = False
        self.is_spent = False
        """Nothing more comes from `next`."""
        self._fd = fd
        self._origin = origin
        self._clock = clock
        sight = Sight(origin.account, origin.region, origin.redactor)
        self._splitter = Splitter(
            count_events=sight.count if origin.mapping is None else None, containers=containers
        )
        self._cut = self._splitter.pieces()
        self._draft = Draft()
        self._pacer = Pacer(LINGER_SECONDS)

    @property
    def offset(self) -> int:
        return self._splitter.place.offset

    def next(self) -> Batch | None:
        """The next batch, or None after a moment in which there was none."""
        while True:
            for piece in self._cut:
                self._draft.add(self._origin, piece)
                if self._draft.is_full:
                    return self._seal()
            if self.has_ended or self.is_stopping:
                self.is_spent = True
                return None if self._draft.is_empty else self._seal()
            now = self._clock.monotonic()
            if self._pacer.is_due(self._draft, now):
                return self._seal()
            wait = _WAIT_SECONDS
            if not self._draft.is_empty:
                wait = min(wait, max(0.0, self._pacer.due_at(self._draft) - now))
            if not select.select([self._fd], [], [], wait)[0]:
                if self._draft.is_empty:
                    return None
                continue
            chunk = os.read(self._fd, BATCH_RAW_BYTES)
            self.bytes_read += len(chunk)
            self.has_ended = not chunk
            self._splitter.feed(chunk)
            self._cut = self._splitter.pieces(final=self.has_ended)

    def _seal(self) -> Batch:
        draft, self._draft = self._draft, Draft()
        self._pacer.sealed(self._clock.monotonic())
        return draft.seal()
