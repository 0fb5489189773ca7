"""Where the HTTP port listens and how long a question may take."""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Annotated

from opentrail.errors import ConfigError
from opentrail.settings import Seconds

THREADS_MAX = 32
_LAG_MAX = Seconds(60)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Section `http`."""

    listen: Annotated[
        str, "HOST:PORT of search, API, health and metrics; only loopback for now. Port 0: any."
    ] = "127.0.0.1:8470"
    search_threads: Annotated[int, "Searches that run at the same time; others wait."] = 2
    delivery_lag_max: Annotated[
        Seconds, "/health/delivery fails when something waits longer for index or archive."
    ] = _LAG_MAX

    def __post_init__(self) -> None:
        parse_address(self.listen, "http.listen")
        if not 1 <= self.search_threads <= THREADS_MAX:
            raise ValueError(
                f"search_threads: {self.search_threads} is not within 1..{THREADS_MAX}"
            )


def parse_address(text: str, name: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; IPv6 hosts stand in brackets. ConfigError names `name`."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"{name}: {text!r} is no address; write it as 127.0.0.1:8470 or [::1]:8470"
        )
    return host, int(port)


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
