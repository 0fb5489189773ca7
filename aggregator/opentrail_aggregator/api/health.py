"""Whether the aggregator is well, decided from what its processes published.

Each role writes a snapshot every second: counters, and what is wrong in its own eyes. A snapshot
that has grown old means that its process is dead or hanging, whatever it said last. From this
follow three answers:

    live       the HTTP port answers
    ready      agents may send: ingest lives and can write, nothing is being stopped
    delivery   what was received becomes searchable and archived in time

Pure: snapshots and the time in, a verdict out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

STALE_SECONDS = 6.0
"""Health promises to be true within 15 s; a busy machine may delay a snapshot by a few."""

INGEST = "ingest"
BLOCKING = frozenset(
    {"not_started", "silent", "log.closed", "log.failed", "log.full", "ingest.certificate"}
)
"""Problems of ingest while which agents cannot send; others are worth telling and stop nothing."""
SUPERVISOR = "supervisor"
ALARMS = (
    "agents.",
    "alarm.",
    "archive.log_gap",
    "archive.retention",
    "archive.trail_frame",
    "api.audit",
    "config.reload",
    "consolidate.damaged",
    "consolidate.found",
    "consolidate.unopened",
    "http.certificate",
    "index.begun",
    "index.damage",
    "index.hole",
    "index.missing",
    "ingest.cloned",
    "ingest.identity",
    "ingest.grants",
    "ingest.twins",
    "ingest.fork",
    "ingest.missing",
    "log.damage",
    "opensearch.damage",
    "opensearch.held",
    "opensearch.hole",
    "opensearch.missing",
    "opensearch.template",
    "log.house",
)
"""How keys begin of what somebody has to look at while everything goes on: it is told as a problem
and stops neither readiness nor delivery. What is not listed stops delivery."""

_LAGS = {
    "opentrail_consolidate_lag_seconds": "consolidate",
    "opentrail_index_lag_seconds": "index",
    "opentrail_opensearch_lag_seconds": "opensearch",
    "opentrail_archive_lag_seconds": "archive",
}

Snapshot = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong now."""

    role: str
    key: str
    text: str
    since_ns: int

    @property
    def is_alarm(self) -> bool:
        """Worth a look, and nothing stands still for it."""
        return self.key.startswith(ALARMS)


@dataclass(frozen=True, slots=True)
class Health:
    """The state of all roles at one moment."""

    ready: bool
    delivery: bool
    problems: tuple[Problem, ...]
    up: Mapping[str, bool]
    """Every role that should run, and whether its snapshot is fresh."""


def judge(
    snapshots: Mapping[str, Snapshot], now: float, now_ns: int, lag_max_seconds: float
) -> Health:
    """The health of the roles that should run; `now` is monotonic, of the same machine."""
    problems: list[Problem] = []
    up: dict[str, bool] = {}
    for role in sorted(expected_roles(snapshots)):
        snapshot = snapshots.get(role)
        up[role] = snapshot is not None and is_fresh(snapshot, now)
        if snapshot is None:
            problems.append(Problem(role, "not_started", f"{role} has not started", now_ns))
        elif not up[role]:
            since = int(snapshot["at_ns"])
            age = max(now - float(snapshot["monotonic"]), 0.0)
            text = f"{role} has not reported for {age:.0f} s: it is dead or hanging"
            problems.append(Problem(role, "silent", text, since))
        else:
            problems += told(role, snapshot)
            problems += _late(role, snapshot, now_ns, lag_max_seconds)
    return Health(
        ready=not any(each.role == INGEST and each.key in BLOCKING for each in problems),
        delivery=all(each.is_alarm for each in problems),
        problems=tuple(problems),
        up=up,
    )


def expected_roles(snapshots: Mapping[str, Snapshot]) -> set[str]:
    """The roles that the supervisor was told to run; without one, those that ever reported."""
    supervisor = snapshots.get(SUPERVISOR)
    if supervisor is None:
        return set(snapshots)
    groups = [
        str(metric["labels"].get("process", ""))
        for metric in supervisor["metrics"]
        if metric["name"] == "opentrail_process_restarts_total"
    ]
    return {role for group in groups for role in group.split("+") if role} | {SUPERVISOR}


def is_fresh(snapshot: Snapshot, now: float) -> bool:
    """Whether the process behind `snapshot` reported lately; after a reboot no old one did."""
    return -1.0 <= now - float(snapshot["monotonic"]) <= STALE_SECONDS


def told(role: str, snapshot: Snapshot) -> list[Problem]:
    """What a role says is wrong."""
    return [
        Problem(role, str(each["key"]), str(each["text"]), int(each["since_ns"]))
        for each in snapshot["problems"]
    ]


def values(snapshot: Snapshot, name: str) -> Iterable[float]:
    """The values of one metric, whatever its labels."""
    return (float(each["value"]) for each in snapshot["metrics"] if each["name"] == name)


def _late(role: str, snapshot: Snapshot, now_ns: int, most: float) -> list[Problem]:
    found = []
    for name, stage in _LAGS.items():
        lag = max(values(snapshot, name), default=0.0)
        if lag > most and stage == role:
            text = f"{stage} is {lag:.0f} s behind, {most:g} s are allowed (http.delivery_lag_max)"
            found.append(Problem(role, "late", text, now_ns - int(lag * 1e9)))
    return found
