"""Asking for the cuts that are due, through ingest, the log's only writer."""

from collections.abc import Collection

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.archive.parts import EARLY, OpenPart, Settling
from opentrail_aggregator.archive.seals import (
    PARTS_PER_SEAL,
    SEAL_FRAME,
    AppendControl,
    choose,
    choose_early,
    seal_body,
)
from opentrail_aggregator.metrics import Metrics

PROBLEM = "archive.seal"


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

    def step(
        self, parts: Collection[OpenPart], open_bytes: float, running: frozenset[str]
    ) -> bool:
        """Ask for what is due, one seal per reason at most; True if one was put into the log."""
        if sum(part.asked for part in parts) >= PARTS_PER_SEAL:
            return False  # They are read first: asking for more would only pile up.
        chosen = choose(
            parts, self._clock.now_ns(), self._clock.monotonic(), self._settling, running
        )
        early = choose_early(parts, open_bytes, self._early_bytes)
        if early:
            chosen = {EARLY: early, **chosen}
        asked = False
        for reason, found in chosen.items():
            asked |= self._ask(reason, [part for part in found if not part.asked][:PARTS_PER_SEAL])
        return asked

    def _ask(self, reason: str, parts: list[OpenPart]) -> bool:
        if not parts or self._append_control is None:
            return False
        try:
            self._append_control(SEAL_FRAME, seal_body(reason, parts))
        except (OpenTrailError, OSError) as error:
            self._metrics.problem(
                PROBLEM, f"{len(parts)} parts are due, but ingest took no seal: {error}"
            )
            return False
        self._metrics.healed(PROBLEM)
        for part in parts:
            part.asked = True
        return True
