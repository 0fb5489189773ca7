"""Asking for the cuts that are due, through ingest, the log's only writer."""

import concurrent.futures
from collections.abc import Collection

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.archive.parts import EARLY, WANTED, OpenPart, Settling
from opentrail_aggregator.archive.seals import (
    PARTS_PER_SEAL,
    SEAL_FRAME,
    AppendControl,
    choose,
    choose_early,
    choose_oldest,
    seal_body,
)
from opentrail_aggregator.metrics import Metrics

PROBLEM = "archive.seal"
WAIT_SECONDS = 0.05
"""How long a step waits for ingest; a slower answer is taken up by a later step."""


class Sealer:
    """Puts seals into the log when the clock or the size of what is open says so."""

    def __init__(
        self,
        settling: Settling,
        early_bytes: float,
        append_control: AppendControl | None,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settling = settling
        self._early_bytes = early_bytes
        self._append_control = append_control
        self._clock = clock
        self._metrics = metrics
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "seal")
        self._cut_before = 0
        self._asking: tuple[concurrent.futures.Future[object], list[OpenPart]] | None = None

    def close(self) -> None:
        """Wait for no answer: a seal that arrives anyway does no harm."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def cut_all(self, parts: Collection[OpenPart], before: int) -> bool:
        """Cut what holds anything before that global position, due or not; True once that is done.

        To be called until then; the position of the first call counts.
        """
        self._cut_before = self._cut_before or before
        if any(part.events and part.first < self._cut_before for part in parts):
            return False
        self._cut_before = 0
        return True

    def step(
        self,
        parts: Collection[OpenPart],
        open_bytes: float,
        running: frozenset[str],
        through: int = 0,
        held_bytes: int = 0,
    ) -> bool:
        """Ask for what is due, one seal per reason at most; True if one was put into the log.

        `held_bytes` is what the log holds that is not archived, up to global position `through`.
        """
        if not self._is_answered():
            return False
        if sum(part.asked for part in parts) >= PARTS_PER_SEAL:
            return False  # They are read first: asking for more would only pile up.
        chosen = choose(
            parts, self._clock.now_ns(), self._clock.monotonic(), self._settling, running
        )
        early = choose_early(parts, open_bytes, self._early_bytes)
        oldest = choose_oldest(parts, through, held_bytes, self._early_bytes)
        early += [part for part in oldest if part not in early]
        if early:
            chosen = {EARLY: early, **chosen}
        wanted = [part for part in parts if part.first < self._cut_before and not part.asked]
        if wanted:
            chosen = {WANTED: wanted, **chosen}
        for reason, found in chosen.items():
            if not self._ask(reason, [part for part in found if not part.asked][:PARTS_PER_SEAL]):
                return False
        return bool(chosen)

    def _ask(self, reason: str, parts: list[OpenPart]) -> bool:
        """Ask for one cut; False if there is no answer yet, or none that says it is in the log."""
        if self._append_control is None:
            return False
        if not parts:
            return True
        future = self._thread.submit(self._append_control, SEAL_FRAME, seal_body(reason, parts))
        self._asking = (future, parts)
        concurrent.futures.wait([future], WAIT_SECONDS)
        return self._is_answered() and all(part.asked for part in parts)

    def _is_answered(self) -> bool:
        """Whether nothing is being asked any more; takes note of the answer."""
        if self._asking is None:
            return True
        future, parts = self._asking
        if not future.done():
            return False
        self._asking = None
        error = future.exception()
        if error is None:
            self._metrics.healed(PROBLEM)
            for part in parts:
                part.asked = True
        elif isinstance(error, OpenTrailError | OSError):
            self._metrics.problem(
                PROBLEM, f"{len(parts)} parts are due, but ingest took no seal: {error}"
            )
        else:
            raise error
        return True
