"""The snapshots of all roles in Prometheus' text format.

A role that is silent shows `opentrail_role_up 0` and none of its old figures: a dead process must
not look as if it stood at its last value.
"""

from collections.abc import Mapping

from opentrail_aggregator.api.health import Health, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def render(snapshots: Mapping[str, Snapshot], health: Health) -> str:
    """One line for each figure of each role that is up."""
    by_name: dict[str, list[str]] = {}

    def add(name: str, labels: Mapping[str, str], value: float) -> None:
        inner = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        by_name.setdefault(name, []).append(f"{name}{{{inner}}} {_number(value)}")

    for role, is_up in health.up.items():
        add("opentrail_role_up", {"role": role}, float(is_up))
        if not is_up:
            continue
        snapshot = snapshots[role]
        add("opentrail_role_started_seconds", {"role": role}, snapshot["started_at_ns"] / 1e9)
        for metric in snapshot["metrics"]:
            add(str(metric["name"]), {"role": role, **metric["labels"]}, float(metric["value"]))
    for problem in health.problems:
        add("opentrail_problem", {"role": problem.role, "key": problem.key}, 1.0)
    lines: list[str] = []
    for name in sorted(by_name):
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {name} {kind}", *by_name[name]]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
