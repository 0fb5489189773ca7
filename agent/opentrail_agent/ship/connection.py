"""One stream to the aggregator: moves messages and does what the session decided.

Two tasks share the session: one writes batches and heartbeats, one reads answers. The reader has
the last word, because a refusal explains what the writer only sees as a broken stream.

A crash anywhere here costs a re-send: the spool forgets a batch only after its acknowledgement was
read, and the aggregator knows a number that it already holds.
"""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any

import grpc
import grpc.aio

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.logs import ids
from opentrail.v1 import ingest_pb2 as pb
from opentrail_agent.metrics import Metrics
from opentrail_agent.ship.heartbeat import heartbeat
from opentrail_agent.ship.pulse import Pulse
from opentrail_agent.ship.session import (
    Acknowledge,
    Action,
    Archived,
    BeginEpoch,
    Bind,
    HangUp,
    Phase,
    Retry,
    Session,
    SetAside,
    code_name,
)
from opentrail_agent.spool.outgoing import Outgoing
from opentrail_agent.spool.writer import SpoolWriter

READ_BYTES = 1 << 20
"""How much is taken from the spool at a time; a window holds about as much."""
LAST_WORD_SECONDS = 5.0
"""How long a broken stream may take to deliver the refusal that explains it."""

Stream = Any
"""grpc.aio.StreamStreamCall; its type parameters say nothing that helps here."""

_log = logging.getLogger(__name__)


class Connection:
    """One stream from welcome to hang-up."""

    def __init__(
        self,
        address: str,
        stream: Stream,
        session: Session,
        spool: SpoolWriter,
        pulse: Pulse,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.session = session
        self._address = address
        self._stream = stream
        self._spool = spool
        self._pulse = pulse
        self._clock = clock
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._ready: deque[Outgoing] = deque()
        self._has_finished = False

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self, hello: pb.Hello, welcome_seconds: float) -> HangUp:
        """Greet, then ship until the connection ends; why it ended."""
        try:
            async with asyncio.timeout(welcome_seconds):
                await self._stream.write(pb.AgentMessage(hello=hello))
                end = await self._read_one()
        except TimeoutError:
            return HangUp(Retry.LATER, "unreachable", f"no welcome within {welcome_seconds:g} s")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return await self._broken()
        if end is not None:
            return end
        self._welcomed()
        return await self._ship()

    def _welcomed(self) -> None:
        waiting = self._spool.last_sequence - self._spool.standing.acknowledged_through
        _log.info("%s: connected, %d batches waiting", self._address, waiting)
        self._metrics.set("opentrail_agent_connected", 1)
        self._metrics.healed("uplink")
        self._pulse.beat_now()

    async def _ship(self) -> HangUp:
        receiving = asyncio.create_task(self._receive())
        sending = asyncio.create_task(self._send())
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                if (end := sending.result()) is not None:
                    return end
                await asyncio.wait({receiving}, timeout=LAST_WORD_SECONDS)
            if receiving.done():
                return receiving.result()
            return await self._broken()
        finally:
            for task in (receiving, sending):
                task.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)

    # Answers.

    async def _receive(self) -> HangUp:
        while True:
            try:
                end = await self._read_one()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                end = await self._broken()
            if end is not None:
                return end
            self._wake.set()

    async def _read_one(self) -> HangUp | None:
        message = await self._stream.read()
        if message is grpc.aio.EOF:
            return await self._broken()
        if message.WhichOneof("message") == "refusal":
            self._note_refusal(message.refusal)
        for action in self.session.received(message, self._clock.monotonic()):
            if isinstance(action, SetAside):
                if (end := await self._set_aside(action.sequence, action.reason)) is not None:
                    return end
                continue
            if isinstance(action, HangUp):
                return action
            await self._do(action)
        return None

    async def _do(self, action: Action) -> None:
        match action:
            case Acknowledge(through):
                crash_point("agent.ship.acknowledged")
                before = self._spool.standing.acknowledged_through
                self._spool.acknowledge(through)
                self._metrics.increment(
                    "opentrail_agent_acknowledged_batches_total", max(0, through - before)
                )
                self._metrics.healed("log_full")
            case Archived(through):
                self._spool.archive(through)
            case Bind(log_id, previous, through):
                _log.info("bound to the log %s (was %s)", log_id or "-", previous or "-")
                await self._spool.bind(log_id, acknowledged_through=through)
                crash_point("agent.ship.bound")
            case BeginEpoch(after, lost, reason):
                _log.warning("%s; going on under a new epoch", reason)
                self._metrics.increment("opentrail_agent_epochs_total")
                crash_point("agent.ship.forked")
                await self._spool.begin_epoch(after_sequence=after, lost=lost)

    def _note_refusal(self, refusal: pb.Refusal) -> None:
        code = code_name(refusal).lower()
        self._metrics.increment("opentrail_agent_refusals_total", code=code)
        if refusal.code == pb.Refusal.FULL:
            self._metrics.problem(
                "log_full", f"the aggregator's log is full ({refusal.message}); the spool keeps all"
            )

    # Sending.

    async def _send(self) -> HangUp | None:
        """Write until told to stop; None when the stream broke and the reader knows why."""
        try:
            while True:
                self._wake.clear()
                now = self._clock.monotonic()
                if (end := self.session.overdue(now)) is not None:
                    return end
                if self._pulse.is_due(now):
                    await self._beat()
                elif self.session.room(now) and (batch := await self._next_batch()) is not None:
                    if (end := await self._send_batch(batch)) is not None:
                        return end
                elif self._pulse.is_finishing and self._is_all_acknowledged():
                    await self._finish()
                else:
                    await self._wait(now)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return None

    async def _next_batch(self) -> Outgoing | None:
        expected = self.session.next_sequence
        if self._ready and self._ready[0].sequence != expected:
            self._ready.clear()  # The session went back: what was read ahead is not next.
        if not self._ready and self._spool.last_sequence >= expected:
            self._ready.extend(await self._spool.read(expected - 1, READ_BYTES))
            if self.session.next_sequence != expected:
                return None
        return self._ready.popleft() if self._ready else None

    async def _send_batch(self, batch: Outgoing) -> HangUp | None:
        if self.session.phase is not Phase.FLOWING:
            self._ready.clear()
            return None
        limit = self.session.batch_max_bytes
        if limit and len(batch.payload) > limit:
            self._ready.clear()
            return await self._set_aside(
                batch.sequence,
                f"batch {batch.sequence} has {len(batch.payload)} bytes, the aggregator takes "
                f"{limit}",
            )
        if batch.damage:
            self._metrics.increment("opentrail_agent_spool_damaged_total")
            _log.error(
                "a batch cannot be read and is reported as lost: %s",
                batch.damage,
                extra=self._ids_of(batch.sequence),
            )
        self.session.sent(batch.sequence, self._clock.monotonic())
        message = pb.Batch(sequence=batch.sequence, digest=batch.digest, payload=batch.payload)
        await self._stream.write(pb.AgentMessage(batch=message))
        crash_point("agent.ship.sent")
        self._pulse.note_sent(self._metrics, self._spool.standing.epoch, batch)
        return None

    async def _set_aside(self, sequence: int, reason: str) -> HangUp | None:
        """Keep a batch that is never taken out of the way of the others; None if that worked."""
        try:
            is_done = await self._spool.set_aside(sequence, reason)
        except OSError as error:
            return HangUp(Retry.LATER, "set_aside", f"{reason}; it cannot be set aside: {error}")
        if not is_done:
            return HangUp(Retry.LATER, "set_aside", f"{reason}; it was set aside before")
        crash_point("agent.ship.set_aside")
        self._metrics.increment("opentrail_agent_set_aside_total")
        _log.error(
            "%s; it is set aside, the batches behind it go on",
            reason,
            extra=self._ids_of(sequence),
        )
        self._spool.aside.tell(self._metrics)
        return None

    def _ids_of(self, sequence: int) -> dict[str, dict[str, str | int]]:
        return ids(epoch=self._spool.standing.epoch.hex(), sequence=sequence)

    async def _beat(self) -> None:
        self._pulse.beaten(self._clock.monotonic())
        report = self._pulse.report()
        message = heartbeat(report, self._spool.last_sequence, self._metrics.figures())
        await self._stream.write(pb.AgentMessage(heartbeat=message))
        self._metrics.increment("opentrail_agent_heartbeats_total")

    def _is_all_acknowledged(self) -> bool:
        return self.session.acknowledged_through >= self._spool.last_sequence

    async def _finish(self) -> None:
        """Say that all sources have ended and close our half; the reader sees the orderly end."""
        await self._beat()
        self._has_finished = True
        await self._stream.done_writing()
        await asyncio.Event().wait()  # Until the reader has the other half's end.

    async def _wait(self, now: float) -> None:
        until = [self._pulse.due_at]
        if (deadline := self.session.deadline()) is not None:
            until.append(deadline)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.001, min(until) - now)):
                await self._wake.wait()

    async def _broken(self) -> HangUp:
        """Why the stream ended, by its status."""
        code = await self._stream.code()
        details = await self._stream.details()
        if code is grpc.StatusCode.OK:
            if self._has_finished:
                return HangUp(Retry.NOW, "finished", "everything is acknowledged")
            return HangUp(Retry.NOW, "closed", "the aggregator closed the stream")
        return HangUp(Retry.LATER, code.name.lower(), f"{code.name}: {details}")
