"""One agent's stream: reads what it sends, writes what is answered, decides nothing.

Two tasks: the handler writes, because the stream ends when it returns; the other reads. The reader
stops reading while the agent has a full window on its way or memory is short, and HTTP/2 carries
that back to the agent. A batch cut off by the end of a stream was never acknowledged, so its agent
sends it again.
"""

import asyncio
import contextlib
from collections import deque
from typing import Any

import grpc
import grpc.aio

from opentrail.clock import Clock
from opentrail.v1.ingest_pb2 import Acknowledge, AgentMessage, AggregatorMessage, Refusal
from opentrail_aggregator.ingest.admission import Code, Refuse
from opentrail_aggregator.ingest.committer import Committer
from opentrail_aggregator.ingest.identities import Identities
from opentrail_aggregator.ingest.reception import Reception
from opentrail_aggregator.ingest.visits import Visit
from opentrail_aggregator.wal.log import LogError

Context = Any
"""grpc.aio.ServicerContext; its type parameters say nothing that helps here."""
REFUSALS_WAITING_MAX = 64
"""An agent that does not read its answers, and goes on sending, is let go."""


class AgentStream:
    """One call of Ship. `Answers` for the reception."""

    def __init__(
        self,
        reception: Reception,
        identities: Identities,
        committer: Committer,
        clock: Clock,
        context: Context,
    ) -> None:
        self._reception = reception
        self._identities = identities
        self._committer = committer
        self._clock = clock
        self._context = context
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._refusals: deque[Refuse] = deque()
        self._acknowledge = 0
        self._acknowledged = 0
        self._archived = 0
        self._closing = False

    # Answers.

    def acknowledge(self, through: int) -> None:
        if through == self._acknowledged:
            # Said before the agent had sent that batch on this stream, so it did not count there:
            # unsaid, a full window would wait for it until the agent hangs up.
            self._acknowledged = -1
        self._acknowledge = through
        self._changed.set()
        self._moved.set()

    def refuse(self, refusal: Refuse) -> None:
        self._refusals.append(refusal)
        if len(self._refusals) > REFUSALS_WAITING_MAX:
            self.close()
        self._changed.set()
        self._moved.set()

    def close(self) -> None:
        self._closing = True
        self._changed.set()
        self._moved.set()

    # The call.

    async def run(self, hello_seconds: float) -> None:
        """Greet, then serve until either side ends the stream."""
        try:
            async with asyncio.timeout(hello_seconds):
                first = await self._context.read()
        except TimeoutError:
            await self._say(Refuse(Code.BAD_PROTOCOL, f"no hello within {hello_seconds:g} s"))
            return
        if not isinstance(first, AgentMessage):
            return  # Ended before it began.
        if first.WhichOneof("message") != "hello":
            await self._say(Refuse(Code.BAD_PROTOCOL, "the first message has to be a hello"))
            return
        try:
            await self._identities.keep_up()
        except LogError as error:
            await self._say(Refuse(Code.FULL, f"grants cannot be written to the log: {error}"))
            return
        peer = self._identities.peer(self._context)
        visit = self._reception.greet(first.hello, peer, self)
        if isinstance(visit, Refuse):
            await self._say(visit)
            return
        try:
            await self._context.write(AggregatorMessage(welcome=self._reception.welcome(visit)))
            await self._serve(visit)
        finally:
            self._reception.leave(visit)

    async def _serve(self, visit: Visit) -> None:
        reading = asyncio.create_task(self._read(visit), name="read agent")
        try:
            while not self._closing or self._has_answers():
                await self._changed.wait()
                self._changed.clear()
                await self._write_answers()
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.BaseError):
                await reading

    async def _read(self, visit: Visit) -> None:
        lane = visit.place.lane
        try:
            while not visit.is_over:
                message = await self._context.read()
                if not isinstance(message, AgentMessage):
                    break
                visit.heard_at = self._clock.monotonic()
                kind = message.WhichOneof("message")
                if visit.is_over:
                    break
                if kind == "batch":
                    self._reception.batch(visit, message.batch)
                    await self._take_turns(lane.on_way)
                elif kind == "heartbeat":
                    self._reception.heartbeat(visit, message.heartbeat)
                    self._tell_archived(self._reception.archived_through(visit))
                else:
                    self.refuse(Refuse(Code.BAD_PROTOCOL, f"unexpected {kind or 'message'}"))
                    break
            # The agent has said all; what it is owed is still acknowledged.
            while lane.on_way and not visit.is_over:
                self._moved.clear()
                await self._moved.wait()
        finally:
            self.close()

    async def _take_turns(self, on_way: dict[int, bytes]) -> None:
        """Read on only when this agent's window and everybody's memory have room."""
        settings = self._reception.settings
        while len(on_way) >= settings.window and not self._closing:
            self._moved.clear()
            await self._moved.wait()
        await self._committer.wait_for_space(settings.queue_bytes)

    def _tell_archived(self, through: int) -> None:
        """An agent may keep batches until they are archived; each heartbeat is answered by that."""
        if through > self._archived:
            self._archived = through
            self._acknowledged = -1
            self._changed.set()

    def _has_answers(self) -> bool:
        return bool(self._refusals) or self._acknowledge > self._acknowledged

    async def _write_answers(self) -> None:
        # Acknowledgements first: a refusal may make the agent hang up.
        if self._acknowledge != self._acknowledged:
            through = self._acknowledged = self._acknowledge
            answer = Acknowledge(through=through, archived_through=self._archived)
            await self._context.write(AggregatorMessage(acknowledge=answer))
        while self._refusals:
            await self._say(self._refusals.popleft())

    async def _say(self, refusal: Refuse) -> None:
        message = Refusal(
            code=refusal.code,
            sequence=refusal.sequence,
            expected=refusal.expected,
            message=refusal.message,
        )
        await self._context.write(AggregatorMessage(refusal=message))
