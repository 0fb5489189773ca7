"""What was given out and taken back: certificates by agent, grants of enrolled agents, serials.

    HOME/identity/agents.json    name -> its certificates that have not run out, and its grant
    HOME/identity/revoked.json   serial -> when, why, whose

An agent that came by a token for some accounts and regions has a grant of its own, before those of
the configuration. One whose token named none has what the configuration says.
"""

from pathlib import Path
from typing import Any

from opentrail.certificate import CertificateFacts
from opentrail.clock import Clock
from opentrail.errors import LimitError, UsageError
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.identity.kept import KeptFile
from opentrail_aggregator.ingest.settings import Grant

AGENTS_MAX = 5_000
"""Their grants are one frame of the log."""
_SECOND = 1_000_000_000


class Register:
    """The agents of one home that were enrolled here, and whatever was revoked, as last read."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._agents = KeptFile(directory / "agents.json", clock)
        self._revoked = KeptFile(directory / "revoked.json", clock)
        self._clock = clock

    def agents(self) -> dict[str, dict[str, Any]]:
        """Name -> {certificates, accounts, regions, token, enrolled_at}."""
        return self._agents.held

    def revoked(self) -> dict[str, dict[str, Any]]:
        """Serial -> {at, reason, agent}."""
        return self._revoked.held

    def refresh(self) -> bool:
        """Read what changed; whether anything did. Raises OSError, DamagedError."""
        return self._agents.refresh() | self._revoked.refresh()

    def grants(self) -> tuple[Grant, ...]:
        """Those of enrolled agents that have one of their own."""
        return tuple(
            Grant(agent=name, accounts=tuple(each["accounts"]), regions=tuple(each["regions"]))
            for name, each in sorted(self.agents().items())
            if not Scope(tuple(each["accounts"]), tuple(each["regions"])).is_everything
        )

    def is_revoked(self, serial: str) -> bool:
        return serial in self.revoked()

    def holder(self, name: str) -> dict[str, Any] | None:
        """The latest certificate of `name` that is good now, if there is one."""
        now, revoked = self._now(), self.revoked()
        entry = self.agents().get(name)
        good = [
            each
            for each in (entry["certificates"] if entry else [])
            if each["not_after"] > now and each["serial"] not in revoked
        ]
        return max(good, key=lambda each: int(each["not_after"]), default=None)

    def enrolled(
        self, name: str, scope: Scope, token_id: str, facts: CertificateFacts, key_sha256: str
    ) -> None:
        """Note a certificate that came by a token."""
        with self._agents.changing() as entries:
            if name not in entries and len(entries) >= AGENTS_MAX:
                raise LimitError(
                    f"{AGENTS_MAX} agents are enrolled here; forget some with "
                    "`opentrail-aggregator certificates forget NAME`"
                )
            held = entries.get(name, {"certificates": []})
            entries[name] = {
                "accounts": list(scope.accounts),
                "regions": list(scope.regions),
                "token": token_id,
                "enrolled_at": self._now(),
                "certificates": [*self._good(held["certificates"]), _row(facts, key_sha256)],
            }

    def renewed(self, name: str, facts: CertificateFacts, key_sha256: str) -> None:
        """Note a certificate that came by an older one."""
        with self._agents.changing() as entries:
            everything = Scope()
            entry = entries.setdefault(
                name,
                {"accounts": list(everything.accounts), "regions": list(everything.regions),
                 "token": "", "enrolled_at": self._now(), "certificates": []},
            )  # fmt: skip
            entry["certificates"] = [*self._good(entry["certificates"]), _row(facts, key_sha256)]

    def revoke(self, serial: str, reason: str, agent: str = "") -> None:
        """Believe the certificate of that serial no more, whoever signed it."""
        with self._revoked.changing() as entries:
            entries.setdefault(serial, {"at": self._now(), "reason": reason[:200], "agent": agent})

    def revoke_agent(self, name: str, reason: str) -> list[str]:
        """Revoke every certificate that `name` has from here; their serials."""
        self._agents.refresh()
        entry = self.agents().get(name)
        if entry is None:
            raise UsageError(
                f"{name}: no agent of this name was enrolled here; revoke a certificate of another "
                "authority by its serial"
            )
        serials = [each["serial"] for each in entry["certificates"]]
        for serial in serials:
            self.revoke(serial, reason, name)
        return serials

    def forget(self, name: str) -> None:
        """Take an agent and its grant off the list; what it holds should be revoked before."""
        with self._agents.changing() as entries:
            if entries.pop(name, None) is None:
                raise UsageError(f"{name}: no agent of this name was enrolled here")

    def _good(self, certificates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that have not run out; of very many (an agent that asks all the time) the last."""
        now = self._now()
        return [each for each in certificates if each["not_after"] > now][-50:]

    def _now(self) -> int:
        return self._clock.now_ns() // _SECOND


def _row(facts: CertificateFacts, key_sha256: str) -> dict[str, Any]:
    return {"serial": facts.serial, "not_after": facts.not_after, "key_sha256": key_sha256}
