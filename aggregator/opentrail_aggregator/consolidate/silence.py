"""Agents that nothing was heard of for five minutes: they send a heartbeat every thirty seconds.

Judged from the log, so a restart of the aggregator forgets nobody; only while everything in the log
is consolidated, because a late reader hears of nobody. An agent that will not come back is retired
(`opentrail agents retire`); one whose imports have all ended owes nothing.
"""

from opentrail_aggregator.consolidate.agents import AgentsTable
from opentrail_aggregator.metrics import Metrics

UNHEARD_SECONDS = 300.0
NAMED_MAX = 5
_SECOND = 1_000_000_000


def silent_agents(table: AgentsTable, now_ns: int) -> dict[str, float]:
    """Name -> seconds since it was heard of, the longest silence first."""
    found = {}
    for name, agent in table.agents.items():
        if name.startswith("opentrail/") or agent.retired or agent.ended or not agent.epochs:
            continue
        heard_ns = max(each.last_at_ns for each in agent.epochs.values())
        silence = (now_ns - heard_ns) / _SECOND
        if silence > UNHEARD_SECONDS:
            found[name] = silence
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def tell_silence(table: AgentsTable, now_ns: int, metrics: Metrics) -> None:
    """Gauge and problem `agents.silent`, or their end."""
    found = silent_agents(table, now_ns)
    metrics.set("opentrail_agents_silent", len(found))
    if not found:
        metrics.healed("agents.silent")
        return
    named = ", ".join(f"{name} ({age:.0f} s)" for name, age in list(found.items())[:NAMED_MAX])
    more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
    metrics.problem(
        "agents.silent",
        f"nothing was heard for {UNHEARD_SECONDS:.0f} s of {named}{more}: see to the host and its "
        "network, or `opentrail agents retire NAME` if it will not come back",
    )
