"""What outlives a connection: when the next heartbeat is due, and what was sent before.

Heartbeats are due at once after a welcome, when an import ends, and every `interval` seconds. Which
batches had been sent before only matters for counting: it tells a first sending from another one.
"""

from opentrail_agent.metrics import Metrics
from opentrail_agent.ship.heartbeat import Report, Reporter
from opentrail_agent.spool.outgoing import Outgoing


class Pulse:
    """The rhythm of one agent over all its connections."""

    def __init__(self, reporter: Reporter, interval_seconds: float) -> None:
        self.due_at = 0.0
        """Monotonic moment of the next heartbeat."""
        self.is_finishing = False
        """Everything has been read: end when it is acknowledged."""
        self._reporter = reporter
        self._interval_seconds = interval_seconds
        self._sent_epoch = b""
        self._sent_through = 0

    def beat_now(self) -> None:
        self.due_at = 0.0

    def is_due(self, now: float) -> bool:
        return now >= self.due_at

    def beaten(self, now: float) -> None:
        self.due_at = now + self._interval_seconds

    def report(self) -> Report:
        return self._reporter()

    def note_sent(self, metrics: Metrics, epoch: bytes, batch: Outgoing) -> None:
        """Count a batch, as sent again if it had been sent before."""
        if epoch != self._sent_epoch:
            self._sent_epoch, self._sent_through = epoch, 0
        metrics.increment("opentrail_agent_sent_batches_total")
        metrics.increment("opentrail_agent_sent_bytes_total", len(batch.payload))
        if batch.sequence <= self._sent_through:
            metrics.increment("opentrail_agent_resent_batches_total")
        self._sent_through = max(self._sent_through, batch.sequence)
