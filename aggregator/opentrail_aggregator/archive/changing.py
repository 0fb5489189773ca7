"""Changes of trails, as the archive comes to them in the log.

Where a trail stops, is deleted or goes elsewhere from now on, what it holds open is cut right there
and delivered as it was until then; only behind that does the change hold. Its digests end with what
was delivered before.
"""

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from opentrail_aggregator.archive.cutter import Order
from opentrail_aggregator.archive.parts import STOPPED, OpenPart
from opentrail_aggregator.archive.seals import orders_of
from opentrail_aggregator.archive.trails import Change, Trails
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.wal.log import LogEntry

PROBLEM = "archive.trail_frame"

OnStopped = Callable[[str, int], object]
"""Told the ARN of a trail and when (ns) it stopped, once its cuts are made; told again after a
crash."""


class Changing:
    """One change at a time: `read`, then the cuts it orders, then `apply`."""

    def __init__(self, trails: Trails, metrics: Metrics, on_stopped: OnStopped | None) -> None:
        self._trails = trails
        self._metrics = metrics
        self._on_stopped = on_stopped
        self._waiting: tuple[Change, LogEntry] | None = None

    def read(
        self, entry: LogEntry, control: dict[str, Any], parts: Collection[OpenPart]
    ) -> list[Order]:
        """What is to be cut before the change in a control frame holds."""
        try:
            change = self._trails.change_in(control)
        except (ValueError, msgspec.MsgspecError) as error:
            self._metrics.problem(
                PROBLEM,
                f"log position {entry.position}: a change of a trail cannot be read ({error}); the "
                "trail goes on as it was: change it once more",
            )
            return []
        if change is None:
            return []
        self._metrics.healed(PROBLEM)  # It was changed once more, or will be told again.
        self._waiting = (change, entry)
        if not change.stops:
            return []
        own = [list(part.key) for part in parts if part.key.trail == change.arn and part.events]
        return orders_of(entry, {"reason": STOPPED, "parts": own})

    def apply(self, kept_total: int) -> None:
        """What was ordered is cut: the change holds."""
        if self._waiting is None:
            return
        change, entry = self._waiting
        self._waiting = None
        self._trails.apply(change, kept_total, entry.position)
        if change.stops and self._on_stopped is not None:
            self._on_stopped(change.arn, entry.appended_at_ns)
