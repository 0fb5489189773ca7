"""What a person must hear of though nothing is broken: conflicts, foreign and future events.

Each kind is a problem in health for some minutes after its last event, with the newest case in its
text; the counters and the quarantine keep all of them.
"""

from opentrail.clock import Clock
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.quarantine.item import Item

_ALARMING = {
    "conflict": "other content came under the id of an event that is held; one may be forged",
    "outside_grant": "an agent sent events it does not speak for",
    "future": "events are dated more than a day ahead; a source's clock may be wrong",
}


class Alarms:
    """Raises a problem for what is alarming and lets it fade."""

    def __init__(self, metrics: Metrics, clock: Clock, seconds: float) -> None:
        self._metrics = metrics
        self._clock = clock
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def raise_for(self, item: Item) -> None:
        """Say that `item` came, if it is alarming."""
        if item.reason == "conflict":
            self._metrics.increment("opentrail_consolidate_conflicts_total")
        meaning = _ALARMING.get(item.reason)
        if meaning is None:
            return
        self._until[item.reason] = self._clock.monotonic() + self._seconds
        self._metrics.problem(
            f"alarm.{item.reason}",
            f"{meaning}: agent {item.agent!r}, source {item.source!r}: {item.detail}; "
            f"see `opentrail quarantine show {item.id}`",
        )

    def fade(self) -> None:
        """Take back what has been quiet for long enough."""
        now = self._clock.monotonic()
        for reason in [reason for reason, until in self._until.items() if until <= now]:
            del self._until[reason]
            self._metrics.healed(f"alarm.{reason}")
