"""agents list and retire: who sends events here."""

import argparse
import json
from urllib.parse import quote

from opentrail_aggregator.cli.client import server_of
from opentrail_aggregator.cli.table import Column, Table

COLUMNS = (
    Column("AGENT", 8, importance=9),
    Column("STATE", 7, importance=7),
    Column("LAST HEARD", 8, importance=6),
    Column("LAG", 5, right=True, importance=8),
    Column("SEQUENCE", 8, right=True, importance=4),
    Column("GAPS", 4, right=True, importance=5),
    Column("SPEAKS FOR", 10, importance=3),
)


def show_list(options: argparse.Namespace) -> int:
    """`opentrail agents list`."""
    agents = server_of(options).get("/api/agents")["agents"]
    if options.output == "json":
        print(json.dumps(agents, indent=2))
        return 0
    print("\n".join(Table(COLUMNS).lines(row_of(agent) for agent in agents)))
    return 0


def retire(options: argparse.Namespace) -> int:
    """`opentrail agents retire NAME`."""
    server_of(options).post(f"/api/agents/{quote(options.name, safe='')}/retire")
    print(f"{options.name} is retired; hours are complete without it from now on")
    return 0


def row_of(agent: dict[str, object]) -> list[object]:
    """One line about an agent."""
    lag = agent.get("lag_seconds")
    gaps = agent.get("gaps")
    return [
        agent.get("name", ""),
        agent.get("state", ""),
        agent.get("heard_at") or "never",
        "" if lag is None else f"{float(str(lag)):.0f} s",
        agent.get("last_sequence", ""),
        len(gaps) if isinstance(gaps, list) else gaps or 0,
        agent.get("grant", ""),
    ]
