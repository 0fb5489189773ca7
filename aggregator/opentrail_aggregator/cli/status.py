"""`opentrail status`: what was received, where it is, whether the sums agree."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentrail_aggregator.access.key_file import KeyFileError
from opentrail_aggregator.cli import agents
from opentrail_aggregator.cli.client import NoAnswerError, home_of, server_of
from opentrail_aggregator.cli.table import Table, clean

RECOUNT_SECONDS = 24 * 3600.0


def status(options: argparse.Namespace) -> int:
    """Show the status; 1 if a sum is wrong."""
    is_answered = True
    try:
        found = _ask(options)
    except (NoAnswerError, KeyFileError) as error:
        home = home_of(options)
        if not (home / "log").is_dir():
            raise
        print(f"opentrail: {error}", file=sys.stderr)
        print(f"opentrail: counted here instead, in the files of {home}", file=sys.stderr)
        found, is_answered = _count_here(home, options.recount), False
    if options.output == "json":
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(lines_of(found)))
    for each in found["wrong"]:
        print(f"opentrail: {each}", file=sys.stderr)
    return 0 if found["sums_agree"] and is_answered else 1


def _ask(options: argparse.Namespace) -> dict[str, Any]:
    server = server_of(options)
    if options.recount:
        server.timeout_seconds = RECOUNT_SECONDS
    found: dict[str, Any] = server.get("/api/status", {"recount": "1"} if options.recount else None)
    return found


def _count_here(home: Path, recount: bool) -> dict[str, Any]:
    """The figures without an aggregator: its stores can be read while it is away."""
    from opentrail.clock import SystemClock
    from opentrail_aggregator.api.agents import agents_of, own_events_of
    from opentrail_aggregator.api.times import iso_time
    from opentrail_aggregator.cli.settings_of_home import settings_of
    from opentrail_aggregator.consolidate.agents import AgentsView
    from opentrail_aggregator.status.stores import open_stores
    from opentrail_aggregator.status.sums import described

    settings, clock = settings_of(home), SystemClock()
    table = AgentsView(settings.place).read()
    return {
        "at": iso_time(clock.now_ns() // 1_000_000_000),
        **described(open_stores(settings, clock).figures(recount=recount)),
        "recounted": recount,
        "own_events": own_events_of(table),
        "agents": agents_of(table, clock.now_ns()),
        "grants": table.settings.get("grants", []),
        "retention_days": settings.retention.days,
        "ready": False,
        "delivery": False,
        "problems": [],
    }


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """The status for people."""
    lines = [f"through log position {found['position']:,}, {found['at']}", ""]
    for name in found["indexed"]:
        lines += _equation(_of_index(found, name), "indexed", "expired", name)
    lines += _equation(found, "archived", "unselected", "archive")
    lines += [_trail(arn, each) for arn, each in found.get("trails", {}).items()]
    agree = "the sums agree" if found["sums_agree"] else "THE SUMS DO NOT AGREE"
    counted = ", everything opened and counted again" if found["recounted"] else ""
    lines += [f"{agree}{counted}", ""]
    if found.get("own_events"):
        lines.append(f"among received: {found['own_events']:,} about questions asked here")
    if found["agents"]:
        lines += Table(agents.COLUMNS).lines(agents.row_of(each) for each in found["agents"])
        lines += [_gap(agent["name"], gap) for agent in found["agents"] for gap in agent["gaps"]]
        lines.append("")
    if any(_speaks_for_all(grant) for grant in found["grants"]):
        lines.append("grants: agents may send events of every account and region (ingest.grants)")
    if "room" in found:
        lines.append(_room(found["room"]))
    lines.append(
        f"events are searchable for {found['retention_days']} days; older ones are archived only"
    )
    lines.append("ready for agents" if found["ready"] else "NOT READY FOR AGENTS")
    lines += [f"! {each['role']}: {clean(each['text'])} (since {each['since']})"
              for each in found["problems"]]  # fmt: skip
    return lines


def _equation(found: Mapping[str, Any], done: str, aside: str, sink: str) -> list[str]:
    parts = [
        ("duplicates", found["duplicates"]),
        ("quarantined", found["quarantined"]),
        *((f"{done}.{name}" if len(found[done]) > 1 else done, n)
          for name, n in found[done].items()),
        (aside, found[aside]),
        (f"pending.{sink}", found["pending"][sink]),
    ]  # fmt: skip
    text = "  + ".join(f"{name} {number:,}" for name, number in parts)
    return [f"received {found['received']:,}  =  {text}"]


def _trail(arn: str, of: Mapping[str, Any]) -> str:
    parts = (f"{name} {of[name]:,}" for name in ("archived", "unselected", "pending"))
    return f"  trail {clean(arn.rpartition('/')[2])}: kept {of['kept']:,}  =  {'  + '.join(parts)}"


def _of_index(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The figures of one index where there are two."""
    expired = found.get("expired_in", {}).get(name, found["expired"])
    return {**found, "indexed": {name: found["indexed"][name]}, "expired": expired}


def _gap(name: str, gap: Mapping[str, Any]) -> str:
    return (
        f"! {clean(name)}: batches {gap['first']:,} to {gap['last']:,} of epoch "
        f"{str(gap['epoch'])[:8]} never arrived here"
    )


def _speaks_for_all(grant: Mapping[str, Any]) -> bool:
    return "*" in grant.get("accounts", []) and "*" in grant.get("regions", [])


def _room(room: Mapping[str, Any]) -> str:
    full = room["seconds_to_full"]
    when = "not filling up" if full is None else f"full in {duration(full)} at the present rate"
    return (
        f"disk: {size(room['free_bytes'])} free, {size(room['reserve_bytes'])} kept in reserve; "
        f"log {size(room['log_bytes'])} of {size(room['log_max_bytes'])}; {when}"
    )


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float) -> str:
    """A span for people."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
