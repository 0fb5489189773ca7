"""Who may do what: the one place that every request passes before its handler sees it.

Until access keys are there, everybody who can reach the port may do everything, and so the port
opens on loopback addresses only. What will be asked is already asked: each route names its
`Action`, and `Access.admit` answers with a `Caller` or raises `Denied`. A handler takes the caller
from its request and never decides for itself.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Literal, Protocol

from aiohttp import web

from opentrail.errors import ConfigError

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


def refuse_other_than_loopback(host: str, port: int) -> None:
    """Raise ConfigError unless every address of `host` is a loopback address."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"http.listen: {host!r} is not known here: {error}") from error
    addresses = sorted({str(each[4][0]) for each in found})
    open_ones = [each for each in addresses if not ipaddress.ip_address(each).is_loopback]
    if open_ones:
        raise ConfigError(
            f"http.listen: {host} is {', '.join(open_ones)}, which others can reach, and access "
            "keys are not there yet; listen on 127.0.0.1 or ::1, and use an SSH tunnel from outside"
        )
