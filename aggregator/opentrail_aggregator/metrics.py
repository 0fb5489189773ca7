"""Counters, gauges and problems of one process, published as a file for the HTTP port.

Every metric name is a member of `MetricName` with its meaning beside it; an unlisted name is a type
error. Each process writes its snapshot to HOME/run/status/ROLE.json once a second and at its end;
the api process renders all of them at /metrics and judges health by them. A snapshot that grows old
is itself a problem: its process is dead or hanging.
"""

import json
import os
import threading
from typing import Any, Literal, get_args

from opentrail.clock import Clock
from opentrail.files import DISK
from opentrail_aggregator.home import Home

MetricName = Literal[
    # ingest and wal (counters end in _total, everything else is a gauge)
    "opentrail_ingest_batches_total",  # batches made durable
    "opentrail_ingest_events_total",  # events in them, refused items included
    "opentrail_ingest_bytes_total",  # their bytes, compressed
    "opentrail_ingest_resent_total",  # batches acknowledged again without being written
    "opentrail_ingest_refusals_total",  # {code}: messages refused
    "opentrail_ingest_displaced_total",  # streams ended because their epoch came by another
    "opentrail_ingest_control_total",  # {type}: control frames written for other roles
    "opentrail_ingest_streams",  # agents connected now
    "opentrail_ingest_epochs",  # numberings (agent, epoch) that are remembered
    "opentrail_ingest_waiting_bytes",  # batches in memory that are not durable yet
    "opentrail_ingest_ack_seconds",  # {quantile}: batch received -> acknowledged, last minute
    "opentrail_ingest_renewals_total",  # {outcome}: certificates asked for by agents that have one
    "opentrail_ingest_revoked_total",  # streams ended or refused: their certificate is revoked
    "opentrail_log_position",  # the last durable position
    "opentrail_log_first_position",  # the lowest position not released
    "opentrail_log_bytes",  # size of the log on disk
    "opentrail_log_failures_total",  # writes or syncs that failed; nothing was acknowledged
    "opentrail_log_damaged_total",  # positions that cannot be read
    "opentrail_disk_free_bytes",  # free bytes where HOME lies
    # consolidate and quarantine
    "opentrail_consolidate_position",  # the last position with a verdict
    "opentrail_consolidate_kept_total",  # events kept
    "opentrail_consolidate_copies_total",  # copies of events already held
    "opentrail_consolidate_conflicts_total",  # other content under a held event's id
    "opentrail_consolidate_ids",  # event ids held to tell copies
    "opentrail_consolidate_damaged_total",  # log positions that could not be read
    "opentrail_agents_silent",  # agents that nothing was heard of for five minutes
    "opentrail_consolidate_lag_seconds",  # age of the oldest frame without a verdict
    "opentrail_quarantine_items_total",  # {reason}: items put into quarantine
    # index
    "opentrail_index_position",  # the last position indexed
    "opentrail_index_documents",  # documents in the index
    "opentrail_index_expired_total",  # events older than the retention
    "opentrail_index_normalised_total",  # events indexed through the normaliser
    "opentrail_index_fallback_total",  # events indexed as a fallback document
    "opentrail_index_lag_seconds",  # age of the oldest kept event not searchable
    # opensearch
    "opentrail_opensearch_position",  # everything through here is in OpenSearch or accounted for
    "opentrail_opensearch_events_total",  # {form}: events it took, as bytes, normalised, fallback
    "opentrail_opensearch_refused_total",  # {type}: documents it refused, by its error type
    "opentrail_opensearch_retries_total",  # {type}: requests that are sent again, by the reason
    "opentrail_opensearch_held",  # events it refused in every form
    "opentrail_opensearch_expired_total",  # events older than the retention
    "opentrail_opensearch_senders",  # requests under way at once at most, as the cluster takes it
    "opentrail_opensearch_body_bytes",  # size of one request at most, as the cluster takes it now
    "opentrail_opensearch_lag_seconds",  # age of the oldest event that is under way
    # archive
    "opentrail_archive_position",  # the last position gathered
    "opentrail_archive_objects_total",  # objects delivered
    "opentrail_archive_events_total",  # events in them
    "opentrail_archive_open_parts",  # parts not yet cut
    "opentrail_archive_retries_total",  # {reason}: deliveries tried again
    "opentrail_archive_lag_seconds",  # how long a due part has been waiting for delivery
    # digest
    "opentrail_digest_signed_total",  # digests signed and delivered
    "opentrail_digest_backfilled_total",  # deliveries that came for a closed window
    "opentrail_digest_retries_total",  # {reason}: digests whose delivery is tried again
    "opentrail_digest_lag_seconds",  # how long the oldest due digest has been waiting
    # api and processes
    "opentrail_api_requests_total",  # {path, status}
    "opentrail_api_own_events_total",  # events about calls and refusals, written to the log
    "opentrail_api_audit_events_total",  # events of PutAuditEvents made durable
    "opentrail_api_audit_refusals_total",  # {code}: items of PutAuditEvents that were refused
    "opentrail_enrolments_total",  # {outcome}: join tokens shown, taken or refused
    "opentrail_search_seconds",  # {quantile}: time of searches, last minute
    "opentrail_config_reloads_total",  # {outcome}: configurations read again by SIGHUP
    "opentrail_lines_held_total",  # {logger}: log lines held back, too many alike
    "opentrail_process_restarts_total",  # {process}: restarts by the supervisor
    "opentrail_role_up",  # 1 if the role's process reported within seconds, 0 if it is silent
    "opentrail_role_started_seconds",  # when it started, seconds since 1970
    "opentrail_problem",  # {role, key}: 1 for each thing that is wrong now
]

_NAMES = frozenset(get_args(MetricName))
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What one process counts. Safe from any thread."""

    def __init__(self, role: str, clock: Clock) -> None:
        self.role = role
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._values: dict[tuple[str, Labels], float] = {}
        self._problems: dict[str, tuple[str, int]] = {}
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
        """Say that something is wrong; the first time of an unbroken run is kept as `since`."""
        with self._lock:
            since = self._problems[key][1] if key in self._problems else self._clock.now_ns()
            self._problems[key] = (text, since)

    def healed(self, key: str) -> None:
        """Say that it is right again; nothing happens if it was."""
        with self._lock:
            self._problems.pop(key, None)

    def snapshot(self) -> dict[str, Any]:
        """Everything, as it is written to the status file."""
        with self._lock:
            return {
                "role": self.role,
                "pid": os.getpid(),
                "started_at_ns": self._started_ns,
                "at_ns": self._clock.now_ns(),
                "monotonic": self._clock.monotonic(),
                "metrics": [
                    {"name": name, "labels": dict(labels), "value": value}
                    for (name, labels), value in sorted(self._values.items())
                ],
                "problems": [
                    {"key": key, "text": text, "since_ns": since}
                    for key, (text, since) in sorted(self._problems.items())
                ],
            }

    def publish(self, home: Home) -> None:
        """Write the snapshot where the api process finds it."""
        directory = home.run / "status"
        directory.mkdir(parents=True, exist_ok=True)
        # Worthless after a stop, so it need not be durable, only whole.
        DISK.replace_volatile(directory / f"{self.role}.json", json.dumps(self.snapshot()).encode())


assert all(name.startswith("opentrail_") for name in _NAMES)
