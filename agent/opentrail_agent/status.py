"""What the agent writes about itself, once a second, for `opentrail-agent spool status`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.files import DISK
from opentrail_agent.metrics import Metrics, publish
from opentrail_agent.ship.heartbeat import Report
from opentrail_agent.spool.writer import SpoolWriter

EVERY_SECONDS = 1.0
IDLE_SECONDS = 10.0
"""How often it is written while nothing changes; older than twice this, the agent hangs."""

_log = logging.getLogger(__name__)


class StatusWriter:
    """Writes STATE/status.json."""

    name = "status"

    def __init__(
        self,
        path: Path,
        agent: str,
        spool: SpoolWriter,
        report: Callable[[], Report],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._path = path
        self._agent = agent
        self._spool = spool
        self._report = report
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Write for ever; a status that cannot be written stops nobody."""
        DISK.make_directory(self._path.parent)
        written: dict[str, Any] = {}
        written_at = 0.0
        while True:
            self._set_gauges()
            figures = self._metrics.figures()
            now = self._clock.monotonic()
            if figures != written or now - written_at >= IDLE_SECONDS:
                written, written_at = figures, now
                try:
                    publish(self._path, self.status())
                    self._metrics.healed("status_file")
                except OSError as error:
                    self._metrics.problem("status_file", f"{self._path}: {error.strerror}")
            await self._clock.sleep(EVERY_SECONDS)

    def status(self) -> dict[str, Any]:
        """Everything that a person may want to know."""
        standing = self._spool.standing
        sources = list(self._report().sources)
        return {
            "agent": self._agent,
            **self._metrics.snapshot(),
            "spool": {
                "epoch": standing.epoch.hex(),
                "epochs": standing.epochs,
                "log": standing.log_id,
                "acknowledged_through": standing.acknowledged_through,
                "last_sequence": self._spool.last_sequence,
                "bytes": self._spool.held_bytes,
            },
            "sources": len(sources),
            "unread_bytes": sum(max(0, each["size"] - each["position"]) for each in sources),
        }

    def _set_gauges(self) -> None:
        self._spool.aside.tell(self._metrics)
        self._metrics.set("opentrail_agent_spool_bytes", self._spool.held_bytes)
        self._metrics.set("opentrail_agent_spool_backlog_batches", self._spool.backlog_batches)
