"""The control service: how the other roles put decisions and events into the log.

It listens on HOME/run/ingest.sock (mode 0600) and nowhere else. What it answers is durable. A call
that was cut off may have been carried out: control frames say what is, so saying it twice does no
harm, and the same batch submitted again soon after is recognised by its digest.
"""

import re
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import msgspec

from opentrail.batch import digest_of
from opentrail.clock import Clock
from opentrail.limits import CONTROL_MAX_BYTES
from opentrail.v1 import ingest_pb2_grpc
from opentrail.v1.ingest_pb2 import Appended, ControlFrame, SubmitRequest
from opentrail_aggregator.ingest.admission import Refuse, inspect_batch, is_agent_name
from opentrail_aggregator.ingest.committer import Committer
from opentrail_aggregator.ingest.ledger import Ledger
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.wal.log import BatchMeta, LogError, batch_frame, control_frame

PREFIX = "opentrail/"
"""Names of submitters inside; no certificate can carry one, because of the slash."""
RECENT_MAX = 4096
_OWN_TYPES = frozenset({"settings", "lost", "heartbeat"})
_TYPE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_OBJECT = msgspec.json.Decoder(dict[str, Any])

Context = Any


class ControlService(ingest_pb2_grpc.ControlServicer):
    """Append and Submit."""

    def __init__(
        self,
        ledger: Ledger,
        committer: Committer,
        refusal_for_room: Callable[[int, bool], str],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._committer = committer
        self._room = refusal_for_room
        self._clock = clock
        self._metrics = metrics
        self._next: dict[str, int] = {}
        """Per submitter, the next number; those on their way are counted in."""
        self._recent: dict[tuple[str, bytes], int] = {}
        """Digest of what a submitter had written lately -> position."""

    async def Append(self, request: ControlFrame, context: Context) -> Appended:
        """Write a control frame; answered when it is durable."""
        if not _TYPE.fullmatch(request.type) or request.type in _OWN_TYPES:
            await _refuse(context, f"a control frame of type {request.type[:64]!r} is not taken")
        if len(request.body) > CONTROL_MAX_BYTES:
            await _refuse(
                context, f"a control frame of {len(request.body)} bytes, limit {CONTROL_MAX_BYTES}"
            )
        try:
            body = _OBJECT.decode(request.body or b"{}")
        except msgspec.MsgspecError as error:
            await _refuse(context, f"the body of a control frame is no JSON object: {error}")
        body.pop("type", None)
        frame = control_frame(request.type, body)
        await self._check_room(context, frame.size, is_control=True)
        try:
            position = await self._committer.append(PREFIX, frame)
        except LogError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        self._metrics.increment("opentrail_ingest_control_total", type=request.type)
        return Appended(position=position)

    async def Submit(self, request: SubmitRequest, context: Context) -> Appended:
        """Write one batch from inside; answered when it is durable."""
        agent, payload = request.agent, request.payload
        if not agent.startswith(PREFIX) or not is_agent_name(agent.removeprefix(PREFIX)):
            await _refuse(context, f"{agent[:128]!r} is no submitter: they are {PREFIX}NAME")
        digest = digest_of(payload)
        if (agent, digest) in self._recent:
            return Appended(position=self._recent[agent, digest])
        epoch = internal_epoch(self._ledger.log_id, agent)
        held = self._ledger.find(agent, epoch)
        sequence = max(self._next.get(agent, 1), held.last + 1 if held else 1)
        head = inspect_batch(sequence, digest, payload)
        if isinstance(head, Refuse):
            await _refuse(context, head.message)
            raise AssertionError("abort raises")
        await self._check_room(context, len(payload), is_control=False)
        self._next[agent] = sequence + 1
        meta = BatchMeta(agent, epoch, sequence, digest.hex(), PREFIX)
        frame = batch_frame(meta, payload, head.events, head.refused)
        try:
            position = await self._committer.append(agent, frame)
        except LogError as error:
            # Everything behind it failed as well: numbers start again behind what is held.
            self._next.pop(agent, None)
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        self._ledger.book(position, self._clock.now_ns(), agent, epoch, sequence, digest)
        self._remember(agent, digest, position)
        self._metrics.increment("opentrail_ingest_batches_total")
        self._metrics.increment("opentrail_ingest_events_total", head.events + head.refused)
        self._metrics.increment("opentrail_ingest_bytes_total", len(payload))
        return Appended(position=position)

    def _remember(self, agent: str, digest: bytes, position: int) -> None:
        self._recent[agent, digest] = position
        if len(self._recent) > RECENT_MAX:
            del self._recent[next(iter(self._recent))]

    async def _check_room(self, context: Context, size: int, *, is_control: bool) -> None:
        full = self._room(size, is_control)
        if full:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, full)


def internal_epoch(log_id: str, agent: str) -> str:
    """The one numbering that a submitter inside has in a log."""
    return digest_of(f"{log_id}\0{agent}".encode()).hex()


async def _refuse(context: Context, message: str) -> None:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
