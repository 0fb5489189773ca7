"""Who had to report before an hour is complete, as of one position of the log.

Folds the agents table of consolidate along with the archive's own reading, so that a manifest says
what was true at its cut and not when it was written. Agents that only import are waited for while
their import runs; retired ones not at all.
"""

from typing import Any

import msgspec

from opentrail_aggregator.archive.keys import time_text
from opentrail_aggregator.archive.manifest import AgentEntry
from opentrail_aggregator.consolidate.agents import Agent, AgentsTable
from opentrail_aggregator.consolidate.policy import INTERNAL_PREFIX, Policy
from opentrail_aggregator.wal.log import LogEntry

GLOBAL_REGIONS = frozenset(("us-east-1", "cn-north-1", "us-gov-west-1"))
"""Every agent granted an account may bring events of its global services there."""
_SECOND = 1_000_000_000
_PATTERN = frozenset("*?[")


class Reporters:
    """All agents at the archive's place in the log."""

    def __init__(self, import_idle_seconds: float) -> None:
        self._idle_ns = int(import_idle_seconds * _SECOND)
        self._table = AgentsTable()
        self._policy = Policy()
        self._live: set[str] = set()
        """Agents that have sources other than imports."""
        self._importing: set[str] = set()
        """Agents that have sources that are imports."""
        self._running: dict[str, int] = {}
        """Imports under way (see `importer_of`) -> when they were last heard of."""

    def observe(self, entry: LogEntry) -> dict[str, Any] | None:
        """Go on to `entry`; the control object if it is one."""
        control = self._table.apply(entry)
        if control is None:
            return None
        if control.get("type") == "settings":
            self._policy = Policy(control)
        elif control.get("type") == "heartbeat":
            self._note_sources(control, entry.appended_at_ns)
        elif control.get("type") == "import-ended":
            self._running.pop(_importer_in(control), None)
        elif control.get("type") == "agent-retired":
            name = str(control.get("agent", ""))
            for importer in [each for each in self._running if agent_of(each) == name]:
                del self._running[importer]
        return control

    def note_batch(self, entry: LogEntry, imports: bool, live: bool) -> None:
        """What kinds of sources a batch had."""
        if imports:
            self._importing.add(entry.agent)
            self._running[importer_of(entry.agent, entry.epoch)] = entry.appended_at_ns
        if live:
            self._live.add(entry.agent)

    def running_imports(self, now_ns: int) -> frozenset[str]:
        """Imports (see `importer_of`) under way at wall time `now_ns`."""
        running = self._running.items()
        return frozenset(each for each, at_ns in running if self._is_near(at_ns, now_ns))

    def missing(self, account: str, region: str, hour: int, cut_ns: int) -> list[str]:
        """Agents that speak for account and region and had not reported past the hour's end."""
        end_ns = (hour + 1) * 3600 * _SECOND
        names = []
        for name in self._speaking_for(account, region):
            agent = self._table.agents.get(name)
            if agent is None:
                names.append(name)  # Granted by name, never heard of.
                continue
            if agent.retired or (self._only_imports(name) and not self._is_running(name, cut_ns)):
                continue
            reported = max((each.reported_until_ns for each in agent.epochs.values()), default=0)
            if reported < end_ns:
                names.append(name)
        return names

    def entries(self, account: str, region: str) -> list[AgentEntry]:
        """How far each agent that speaks for account and region had come."""
        found = []
        for name in self._speaking_for(account, region):
            agent = self._table.agents.get(name, Agent())
            for epoch_id, epoch in sorted(agent.epochs.items()):
                until = epoch.reported_until_ns
                found.append(
                    AgentEntry(
                        agent=name,
                        epoch=epoch_id,
                        begins_at=epoch.begins_at,
                        consolidated_through=epoch.sequence,
                        gaps=epoch.gaps,
                        reported_until=time_text(until // _SECOND) if until else None,
                    )
                )
        return found

    def state(self) -> dict[str, Any]:
        """What `restore` needs at the same position."""
        return {
            "table": msgspec.to_builtins(self._table),
            "live": sorted(self._live),
            "importing": sorted(self._importing),
            "running": self._running,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as when `state` was taken."""
        self._table = msgspec.convert(state["table"], AgentsTable)
        self._policy = Policy(self._table.settings)
        self._live = set(state["live"])
        self._importing = set(state["importing"])
        self._running = dict(state["running"])

    def _speaking_for(self, account: str, region: str) -> list[str]:
        is_global = region in GLOBAL_REGIONS
        named = {
            str(grant.get("agent", ""))
            for grant in self._table.settings.get("grants", [])
            if isinstance(grant, dict) and not _PATTERN & set(str(grant.get("agent", "*")))
        }
        return sorted(
            name
            for name in named | self._table.agents.keys()
            if name
            and not name.startswith(INTERNAL_PREFIX)
            and self._policy.allows(name, account, region, is_global=is_global)
        )

    def _note_sources(self, control: dict[str, Any], at_ns: int) -> None:
        name, epoch_id = str(control.get("agent", "")), str(control.get("epoch", ""))
        epoch = self._table.agents[name].epochs[epoch_id]
        imports = [each for each in epoch.sources if each.get("kind") == "import"]
        if len(imports) < len(epoch.sources):
            self._live.add(name)
        if imports:
            self._importing.add(name)
            if all(each.get("ended") for each in imports):
                self._running.pop(importer_of(name, epoch_id), None)
            else:
                self._running[importer_of(name, epoch_id)] = at_ns
        epoch.sources = []  # Not needed here, and there may be many.

    def _only_imports(self, name: str) -> bool:
        return name in self._importing and name not in self._live

    def _is_running(self, name: str, now_ns: int) -> bool:
        return any(
            agent_of(each) == name and self._is_near(at_ns, now_ns)
            for each, at_ns in self._running.items()
        )

    def _is_near(self, at_ns: int, now_ns: int) -> bool:
        return now_ns - at_ns < self._idle_ns


def importer_of(agent: str, epoch: str) -> str:
    """What stands for one import: several may run under one agent's name, each with its epoch."""
    return f"{epoch}:{agent}"


def agent_of(importer: str) -> str:
    """The agent in what `importer_of` made."""
    return importer.partition(":")[2]


def _importer_in(control: dict[str, Any]) -> str:
    return importer_of(str(control.get("agent", "")), str(control.get("epoch", "")))
