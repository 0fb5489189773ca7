"""Grants and global services, as the last `settings` frame of the log says.

Consolidate never asks a configuration file: what decides a result is in the log, so that a log
read again gives the same result.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

INTERNAL_PREFIX = "opentrail/"
"""Names of batches from inside (replay, own events); ingest gives them to nobody else."""


class Policy:
    """For whom an agent speaks, and which services are global."""

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        settings = settings or {}
        self._grants = [grant for grant in settings.get("grants", []) if isinstance(grant, dict)]
        self.global_services = frozenset(
            _event_source(name) for name in settings.get("global_services", [])
        )
        self._allowed: dict[tuple[str, str, str, bool], bool] = {}

    def allows(self, agent: str, account: str, region: str, *, is_global: bool) -> bool:
        """Whether `agent` speaks for events of `account` in the canonical `region`.

        A grant for an account always includes the events of its global services: which agent sees
        them depends on the partition, not on where the agent is. Without any settings in the log
        nobody but the aggregator itself speaks for anything. Of several grants whose pattern
        matches the name the first counts, as at ingest.
        """
        asked = (agent, account, region, is_global)
        known = self._allowed.get(asked)
        if known is None:
            grant = self._grant_of(agent)
            known = agent.startswith(INTERNAL_PREFIX) or (
                _matches(account, grant.get("accounts", []))
                and (is_global or _matches(region, grant.get("regions", [])))
            )
            if len(self._allowed) < 10_000:  # Accounts and regions come from outside.
                self._allowed[asked] = known
        return known

    def _grant_of(self, agent: str) -> dict[str, Any]:
        for grant in self._grants:
            if fnmatchcase(agent, str(grant.get("agent", ""))):
                return grant
        return {}


def _matches(name: str, patterns: Iterable[object]) -> bool:
    return any(fnmatchcase(name, str(pattern)) for pattern in patterns)


def _event_source(name: object) -> str:
    text = str(name)
    return text if "." in text else f"{text}.amazonaws.com"
