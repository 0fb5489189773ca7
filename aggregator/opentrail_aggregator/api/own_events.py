"""Every use of this port is an event in the trail, durable before its answer leaves.

    call ──► own event ──┐
    call ──► own event ──┼─► one batch ─► ingest (opentrail/api) ─► position ─► all go on
    call ──► own event ──┘

While one batch is being written the next one gathers, so many calls cost one write. What cannot be
made durable is not answered: the call gets `Unavailable` (503). Repeats of one refused caller, and
of one `tail` that goes on, are folded: the first is an event at once, the others are counted in one
more when their minute is over (after a crash, that count is missing).

The records are CloudTrail's, of the install's account and home region; `own_record.py` makes them.
With `http.audit: false` nothing is written.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from opentrail.batch import SourceRun, seal_batch
from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.access.keys import AccessKey
from opentrail_aggregator.api.access import Caller, claimed_key_id
from opentrail_aggregator.api.answers import Unavailable
from opentrail_aggregator.api.own_record import AGENT, Origin, OwnRecords
from opentrail_aggregator.metrics import Metrics

SOURCE = "api:http"
FOLD_SECONDS = 60.0
FOLDED_MAX = 4096
"""Callers whose repeats are told apart; beyond it they count as one."""
WAITING_MAX = 10_000
BATCH_MAX = 2_000
_LOOK_SECONDS = 1.0

Submit = Callable[[str, bytes], int]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Fold:
    since: float
    record: dict[str, Any]
    repeats: int = 0


class OwnEvents:
    """Writes what was asked here, before it is answered."""

    def __init__(
        self,
        submit: Submit,
        records: OwnRecords,
        clock: Clock,
        metrics: Metrics,
        *,
        enabled: bool = True,
    ) -> None:
        self._submit = submit
        self._records = records
        self._clock = clock
        self._metrics = metrics
        self._enabled = enabled
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._folds: dict[tuple[str, ...], _Fold] = {}
        # Its own: a pool that others fill would hold every call up.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="own-events")

    def close(self) -> None:
        """Take no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def called(
        self,
        request: web.Request,
        caller: Caller,
        name: str,
        parameters: Mapping[str, object],
        *,
        read_only: bool,
        folded_by: str = "",
    ) -> None:
        """One call of a path by somebody who may; raises Unavailable if it is not durable.

        `folded_by`: calls of one caller that share it are one event a minute.
        """
        record = self._records.make(
            _origin(request, caller.key_id, caller.name), name, parameters, read_only=read_only
        )
        if folded_by:
            await self._fold(("call", caller.key_id, name, folded_by), record)
        else:
            await self._write(record)

    async def refused(
        self, request: web.Request, code: str, message: str, *, key_id: str = ""
    ) -> None:
        """One call that was refused. `key_id`: of a key that was proved, else what is claimed."""
        claimed = key_id or claimed_key_id(request)
        record = self._records.make(
            _origin(request, claimed, key_id),
            "RefusedRequest",
            {"method": request.method, "path": request.path[:300]},
            read_only=request.method in ("GET", "HEAD"),
            error=(code, message),
        )
        # By address only, as long as no key was proved: names cost a stranger nothing.
        await self._fold(("refusal", request.remote or "", key_id), record)

    async def record(
        self,
        request: web.Request,
        key: AccessKey,
        name: str,
        parameters: Mapping[str, object],
        *,
        source: str,
        read_only: bool,
        request_id: str = "",
        error: tuple[str, str] | None = None,
        region: str = "",
    ) -> None:
        """One call of an AWS API, `source` the service called (`cloudtrail.amazonaws.com`)."""
        await self._write(
            self._records.make(
                _origin(request, key.id, key.note or key.id),
                name,
                parameters,
                read_only=read_only,
                source=source,
                request_id=request_id,
                error=error,
                region=region,
            )
        )

    @contextlib.asynccontextmanager
    async def folding(self) -> AsyncIterator[None]:
        """While inside, folded repeats are written when their minute is over, and at the end."""
        task = asyncio.create_task(self._look(), name="own events")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._unfold(everything=True)

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            await self._unfold()

    async def _fold(self, key: tuple[str, ...], record: dict[str, Any]) -> None:
        if key not in self._folds and len(self._folds) >= FOLDED_MAX:
            key = ("others",)
        held = self._folds.get(key)
        if held is not None:
            held.repeats += 1
            return
        self._folds[key] = _Fold(self._clock.monotonic(), record)
        try:
            await self._write(record)
        except Unavailable:
            self._folds.pop(key, None)
            raise

    async def _unfold(self, *, everything: bool = False) -> None:
        """Write what was folded, and forget callers whose minute is over."""
        now = self._clock.monotonic()
        over = [
            key
            for key, held in self._folds.items()
            if everything or now - held.since >= FOLD_SECONDS
        ]
        for key in over:
            held = self._folds.pop(key)
            if held.repeats:
                with contextlib.suppress(Unavailable):  # Logged, and told by health.
                    await self._write(self._records.repeated(held.record, held.repeats))

    async def _write(self, record: dict[str, Any]) -> None:
        if not self._enabled:
            return
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable(f"{WAITING_MAX} calls wait for their own events to be written")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((orjson.dumps(record), done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting(), name="own events")
        await done

    async def _write_waiting(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            lines = [line for line, _ in taken]
            try:
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._seal_and_submit, lines
                )
            except Exception as error:
                problem = self._told(error)
                for _, done in taken:
                    if not done.cancelled():
                        done.set_exception(Unavailable(problem))
                continue
            self._metrics.healed("api.audit")
            self._metrics.increment("opentrail_api_own_events_total", len(taken))
            for _, done in taken:
                if not done.cancelled():
                    done.set_result(None)

    def _seal_and_submit(self, lines: list[bytes]) -> None:
        run = SourceRun(
            source=SOURCE,
            account=self._records.account,
            region=self._records.region,
            events=len(lines),
            kind="api",
        )
        self._submit(AGENT, seal_batch(b"".join(line + b"\n" for line in lines), len(lines),
                                       [run], []))  # fmt: skip

    def _told(self, error: Exception) -> str:
        text = (
            "not answered, because the event that says so could not be written: "
            f"{error if isinstance(error, OpenTrailError) else type(error).__name__}"
        )
        _log.warning("%s", text)
        self._metrics.problem("api.audit", text)
        return text


def _origin(request: web.Request, key_id: str, name: str) -> Origin:
    return Origin(request.remote or "", request.headers.get("User-Agent", ""), key_id, name)
