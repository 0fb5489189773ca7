"""Where the HTTP port listens, who may be answered, and how long a question may take."""

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from opentrail.errors import ConfigError
from opentrail.settings import Seconds

THREADS_MAX = 32
_LAG_MAX = Seconds(60)
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTlsSettings:
    """Section `http.tls`."""

    certificate: Annotated[
        Path | None, "The port's certificate chain, PEM; taken up again when it changes."
    ] = None
    key: Annotated[Path | None, "Its key, PEM."] = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; give both, or neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Section `http`."""

    listen: Annotated[
        str,
        "HOST:PORT of search, API, health and metrics. What others can reach needs http.tls, or "
        "http.allow_plaintext by name. Port 0: any.",
    ] = "127.0.0.1:8470"
    tls: HttpTlsSettings = field(default_factory=HttpTlsSettings)
    allow_plaintext: Annotated[
        bool, "Serve HTTP without TLS where others can reach it, as behind a proxy that has TLS."
    ] = False
    open_metrics: Annotated[
        bool, "/metrics and /health/delivery answer without an access key too."
    ] = False
    audit: Annotated[
        bool,
        "Every call of search and API, every export and refusal is an event in the trail, on disk "
        "before its answer leaves; false writes none.",
    ] = True
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


def dialled(listening: str, name: str = "http.listen") -> str:
    """The address that reaches a listener on this machine, as HOST:PORT."""
    host, port = parse_address(listening, name)
    host = _EVERYWHERE.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(settings: HttpSettings, port: int | None = None) -> str:
    """Where commands on this machine find the port; `port` where it was chosen at the start."""
    address = dialled(settings.listen)
    if port is not None:
        address = f"{address.rpartition(':')[0]}:{port}"
    return f"{'https' if settings.tls.certificate else 'http'}://{address}"


def refuse_open_plaintext(settings: HttpSettings) -> None:
    """Raise ConfigError for plain HTTP on an address that is no loopback, unless it is wanted."""
    host, port = parse_address(settings.listen, "http.listen")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"http.listen: {host!r} is not known here: {error}") from error
    if settings.tls.certificate is not None or settings.allow_plaintext:
        return
    addresses = sorted({str(each[4][0]) for each in found})
    open_ones = [each for each in addresses if not ipaddress.ip_address(each).is_loopback]
    if open_ones:
        raise ConfigError(
            f"http.listen: {host} is {', '.join(open_ones)}, which others can reach, and plain "
            "HTTP can be read on its way: give http.tls.certificate and http.tls.key, listen on "
            "127.0.0.1 or ::1, or say http.allow_plaintext: true (behind a proxy that has TLS)"
        )
