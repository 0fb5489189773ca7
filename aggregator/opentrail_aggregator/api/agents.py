"""Agents over HTTP: who sends here, how far each is, what is missing of it, and retiring one.

Two witnesses: the log, through consolidate's table (numbers, gaps, what was reported), and ingest
(who is connected now).
"""

import asyncio
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from opentrail.clock import Clock
from opentrail_aggregator.api.answers import NotFound, json_answer
from opentrail_aggregator.api.inbox import Inbox
from opentrail_aggregator.api.own_record import AGENT
from opentrail_aggregator.api.times import iso_time
from opentrail_aggregator.consolidate.agents import Agent, AgentsTable, AgentsView
from opentrail_aggregator.consolidate.silence import UNHEARD_SECONDS
from opentrail_aggregator.home import Home

_SECOND = 1_000_000_000


class AgentHandlers:
    """Reads consolidate's table; writes through ingest."""

    def __init__(self, home: Home, clock: Clock, inbox: Inbox) -> None:
        self._view = AgentsView(home)
        self._clock = clock
        self._inbox = inbox

    async def list_agents(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/agents`."""
        table = await asyncio.to_thread(self._view.read)
        return json_answer({"agents": agents_of(table, self._clock.now_ns())})

    async def retire(self, request: web.Request) -> web.StreamResponse:
        """`POST /api/agents/NAME/retire`."""
        name = request.match_info["name"]
        table = await asyncio.to_thread(self._view.read)
        if name not in table.agents:
            known = ", ".join(each["name"] for each in agents_of(table, 0)) or "none yet"
            raise NotFound(f"{name[:128]}: no agent of this name ever sent here; known: {known}")
        position = await self._inbox.append("agent-retired", {"agent": name})
        return json_answer({"agent": name, "position": position})


def agents_of(table: AgentsTable, now_ns: int) -> list[dict[str, Any]]:
    """Every agent that the log knows, those from inside left out."""
    return [
        described(name, agent, table.settings, now_ns)
        for name, agent in sorted(table.agents.items())
        if not name.startswith("opentrail/")
    ]


def own_events_of(table: AgentsTable) -> int:
    """How many events this aggregator's own HTTP port has sent about its use."""
    agent = table.agents.get(AGENT)
    return sum(each.events for each in agent.epochs.values()) if agent else 0


def described(name: str, agent: Agent, settings: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """One agent as answers show it; its present epoch is the one heard last."""
    epochs = sorted(agent.epochs.items(), key=lambda each: each[1].last_at_ns)
    heard_ns = epochs[-1][1].last_at_ns if epochs else 0
    reported_ns = epochs[-1][1].reported_until_ns if epochs else 0
    silent = (now_ns - heard_ns) / _SECOND
    state = (
        "retired"
        if agent.retired
        else "ended"
        if agent.ended
        else "silent"
        if silent > UNHEARD_SECONDS
        else "sending"
    )
    return {
        "name": name,
        "state": state,
        "heard_at": iso_time(heard_ns // _SECOND) if heard_ns else None,
        "reported_until": iso_time(reported_ns // _SECOND) if reported_ns else None,
        "lag_seconds": round(max((now_ns - reported_ns) / _SECOND, 0.0), 1)
        if reported_ns
        else None,
        "last_sequence": epochs[-1][1].sequence if epochs else 0,
        "gaps": [
            {"epoch": epoch, "first": first, "last": last}
            for epoch, each in epochs
            for first, last in ([(1, each.begins_at - 1)] if each.begins_at > 1 else [])
            + [(first, last) for first, last in each.gaps]
        ],
        "events": sum(each.events for _, each in epochs),
        "refused": sum(each.refused for _, each in epochs),
        "epochs": len(epochs),
        "sources": epochs[-1][1].sources[:100] if epochs else [],
        "grant": _grant(name, settings),
    }


def _grant(name: str, settings: Mapping[str, Any]) -> str:
    for grant in settings.get("grants", []):
        if fnmatchcase(name, str(grant.get("agent", ""))):
            accounts = ",".join(map(str, grant.get("accounts", [])))
            regions = ",".join(map(str, grant.get("regions", [])))
            return f"accounts {accounts}; regions {regions}"
    return "nothing"
