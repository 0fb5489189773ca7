"""What a key may do, and whose events it may see."""

import fnmatch
import re
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["reader", "auditor", "admin", "writer"]
ROLES: tuple[Role, ...] = get_args(Role)

Action = Literal[
    "probe",  # /health/live and /health/ready: one word each
    "enrol",  # a join token lets in, no key
    "observe",  # metrics and detailed health
    "search",  # events, counts, tail, LookupEvents
    "inspect",  # status, agents, quarantine, archive objects, trails, public keys
    "operate",  # replay, retire, keys, trails made and changed
    "write",  # PutAuditEvents
]

ALLOWED: dict[Role, frozenset[Action]] = {
    "reader": frozenset(("probe", "search")),
    "auditor": frozenset(("probe", "observe", "search", "inspect")),
    "admin": frozenset(("probe", "observe", "search", "inspect", "operate", "write")),
    "writer": frozenset(("probe", "write")),
}
"""The roles, in full. There is no other right."""

_PATTERN = re.compile(r"[a-z0-9*?-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scope:
    """Accounts and regions, as patterns with `*` and `?`."""

    accounts: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        for pattern in (*self.accounts, *self.regions):
            if _PATTERN.fullmatch(pattern) is None:
                raise ValueError(
                    f"{pattern!r} is no pattern of an account or region: a-z 0-9 - and * ?"
                )

    @property
    def is_everything(self) -> bool:
        """Whether nothing is out of it."""
        return "*" in self.accounts and "*" in self.regions

    def covers_account(self, account: str) -> bool:
        return any(fnmatch.fnmatchcase(account, pattern) for pattern in self.accounts)

    def covers_region(self, region: str) -> bool:
        return any(fnmatch.fnmatchcase(region, pattern) for pattern in self.regions)

    def covers(self, account: str, region: str) -> bool:
        return self.covers_account(account) and self.covers_region(region)
