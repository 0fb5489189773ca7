"""Who may do what: the one place that every request passes before its handler sees it.

Until access keys are there, everybody who can reach the port may do everything, and so the port
opens on loopback addresses only. What will be asked is already asked: each route names its
`Action`, and `Access.admit` answers with a `Caller` or raises `Denied`. A handler takes the caller
from its request and never decides for itself.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from aiohttp import web

Action = Literal[
    "probe",  # /health/live and /health/ready: one word each
    "observe",  # metrics and detailed health
    "search",  # events, counts, tail
    "inspect",  # status, agents, quarantine, archive objects
    "operate",  # replay, retire
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and how far they may see."""

    name: str
    accounts: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ("*",)


class Denied(Exception):
    """The caller may not do this."""


class Access(Protocol):
    """Decides about one request."""

    def admit(self, request: web.Request, action: Action) -> Caller:
        """Who is asking, if they may do `action`; raises Denied."""
        ...


class LoopbackAccess:
    """Everybody on this machine may do everything."""

    def admit(self, request: web.Request, action: Action) -> Caller:
        return Caller("local")


CALLER = web.RequestKey("caller", Caller)
"""Under this key a request carries who asks."""
