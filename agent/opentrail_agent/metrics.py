"""Counters, gauges and problems of the agent.

Every name is a member of `MetricName` with its meaning beside it; an unlisted name is a type error.
They are written to STATE/status.json for `opentrail-agent spool status`, and their figures travel
with each heartbeat, so the aggregator shows them for every agent. A problem is something that is
wrong now; it has a first moment and ends by `healed`.
"""

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any, Literal, get_args

from opentrail.clock import Clock
from opentrail.files import DISK

MetricName = Literal[
    # capture (counters end in _total, everything else is a gauge)
    "opentrail_agent_events_total",  # events admitted
    "opentrail_agent_bytes_total",  # their bytes, before compression
    "opentrail_agent_refused_total",  # items that could not be admitted
    "opentrail_agent_sources",  # files and other sources followed now
    "opentrail_agent_unreadable_paths",  # watched paths that cannot be read now
    "opentrail_agent_lost_bytes_total",  # bytes a source took away before they were read
    "opentrail_agent_redacted_total",  # {rule}: values hidden before anything was kept
    "opentrail_agent_skipped_files",  # files behind a glob that are not followed: not JSON
    "opentrail_agent_truncations_total",  # files that were cut or replaced in place
    # objects of S3
    "opentrail_agent_s3_objects_total",  # objects read whole, in the spool
    "opentrail_agent_s3_messages_total",  # {what}: messages of queues, and what became of them
    "opentrail_agent_s3_errors_total",  # {reason}: requests and objects that failed
    "opentrail_agent_s3_streams",  # {source}: accounts, folders and regions that are listed
    # spool
    "opentrail_agent_spool_batches_total",  # batches made durable
    "opentrail_agent_spool_commits_total",  # group commits; several batches share one
    "opentrail_agent_spool_waits_total",  # times that a full spool made a source wait
    "opentrail_agent_spool_write_failures_total",  # writes or syncs that the disk refused
    "opentrail_agent_spool_repairs_total",  # damage found and survived at opening
    "opentrail_agent_spool_damaged_total",  # batches that could not be read and were replaced
    "opentrail_agent_spool_bytes",  # bytes held on disk
    "opentrail_agent_spool_backlog_batches",  # batches not yet acknowledged
    # identity
    "opentrail_agent_certificate_seconds",  # how long the present certificate is good
    "opentrail_agent_renewals_total",  # {outcome}: certificates asked for before the old one ends
    "opentrail_agent_lines_held_total",  # {logger}: log lines held back, too many alike
    "opentrail_agent_reloads_total",  # {outcome}: configurations read again by SIGHUP
    "opentrail_agent_set_aside_total",  # batches refused for good and set aside
    "opentrail_agent_set_aside_batches",  # of them, those that still lie there
    # ship
    "opentrail_agent_connected",  # 1 while an aggregator has welcomed this agent
    "opentrail_agent_connects_total",  # connections tried
    "opentrail_agent_connect_failures_total",  # {why}: connections that failed or ended
    "opentrail_agent_sent_batches_total",  # batches sent, those sent again included
    "opentrail_agent_sent_bytes_total",  # their bytes
    "opentrail_agent_resent_batches_total",  # batches sent again
    "opentrail_agent_acknowledged_batches_total",  # batches acknowledged
    "opentrail_agent_refusals_total",  # {code}: refusals by the aggregator
    "opentrail_agent_epochs_total",  # new epochs begun because numbers were in use
    "opentrail_agent_heartbeats_total",  # heartbeats sent
]

_NAMES = frozenset(get_args(MetricName))
assert all(name.startswith("opentrail_agent_") for name in _NAMES)

REPEAT_SECONDS = 60.0
"""How often a problem that lasts is logged again."""

Labels = tuple[tuple[str, str], ...]
_log = logging.getLogger(__name__)


class Metrics:
    """What the agent counts. Safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._values: dict[tuple[str, Labels], float] = {}
        self._problems: dict[str, tuple[str, int]] = {}
        self._logged: dict[str, float] = {}
        self._lock = threading.Lock()

    def increment(self, name: MetricName, amount: float = 1, **labels: str) -> None:
        """Count up."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def set(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._values[(name, tuple(sorted(labels.items())))] = value

    def value(self, name: MetricName, **labels: str) -> float:
        """What a counter or gauge shows now, 0 if it was never touched."""
        return self._values.get((name, tuple(sorted(labels.items()))), 0)

    def problem(self, key: str, text: str) -> None:
        """Say that something is wrong; logged when it begins, and again now and then."""
        now = self._clock.monotonic()
        with self._lock:
            known = self._problems.get(key)
            self._problems[key] = (text, known[1] if known else self._clock.now_ns())
            is_news = known is None or now - self._logged.get(key, now) >= REPEAT_SECONDS
            if is_news:
                self._logged[key] = now
        if is_news:
            _log.warning("%s: %s", key, text)

    def healed(self, key: str) -> None:
        """Say that it is right again; nothing happens if it was."""
        with self._lock:
            known = self._problems.pop(key, None)
        if known is not None:
            seconds = (self._clock.now_ns() - known[1]) / 1e9
            _log.info("%s: right again after %.1f s", key, seconds)

    def problems(self) -> dict[str, str]:
        """What is wrong now."""
        with self._lock:
            return {key: text for key, (text, _) in self._problems.items()}

    def figures(self) -> dict[str, float]:
        """Every counter and gauge, labels in the name, as a heartbeat carries them."""
        with self._lock:
            return {
                _figure_name(name, labels): value for (name, labels), value in self._values.items()
            }

    def snapshot(self) -> dict[str, Any]:
        """Everything, as it is written to the status file."""
        figures = self.figures()
        with self._lock:
            return {
                "pid": os.getpid(),
                "started_at_ns": self._started_ns,
                "at_ns": self._clock.now_ns(),
                "figures": figures,
                "problems": [
                    {"key": key, "text": text, "since_ns": since}
                    for key, (text, since) in sorted(self._problems.items())
                ],
            }


def publish(path: Path, status: dict[str, Any]) -> None:
    """Write the status file; worthless after a stop, so whole but not durable."""
    DISK.replace_volatile(path, json.dumps(status).encode())


def _figure_name(name: str, labels: Labels) -> str:
    inner = ",".join(f"{key}={value}" for key, value in labels)
    return f"{name}{{{inner}}}" if inner else name
