"""Settings of the shipper."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from opentrail.limits import BATCH_WINDOW
from opentrail.settings import Seconds
from opentrail_agent.ship.dial import Certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Files that are read again at every connect, so renewing them is all that rotation needs."""

    ca: Annotated[
        Path | None, "PEM file with the authorities that may answer for the aggregator."
    ] = None
    certificate: Annotated[
        Path | None, "PEM file with this agent's certificate; it carries its name."
    ] = None
    key: Annotated[Path | None, "PEM file with the key of that certificate."] = None
    server_name: Annotated[
        str, "The name in the aggregator's certificate, if it is not the address that is dialled."
    ] = ""

    def certificates(self) -> Certificates:
        return Certificates(self.ca, self.certificate, self.key, self.server_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipSettings:
    """Where and how batches are sent."""

    addresses: Annotated[
        list[str],
        "HOST:PORT of the aggregator; several are addresses of the same one, tried in turn.",
    ] = field(default_factory=lambda: ["127.0.0.1:8471"])
    tls: Annotated[TlsSettings, "Who this agent is and whom it believes."] = field(
        default_factory=TlsSettings
    )
    allow_plaintext: Annotated[bool, "Connect without TLS when no certificate files are set."] = (
        False
    )
    release: Annotated[
        Literal["acknowledged", "archived"],
        "When the spool lets go of a batch: once the aggregator has it on its disk, or once its "
        "events are in the archive, so that a lost disk there loses nothing; that takes a spool "
        "for more than an hour (see docs/operating.md, Disk lost).",
    ] = "acknowledged"
    window: Annotated[int, "Batches that may be under way without an acknowledgement."] = (
        BATCH_WINDOW
    )
    heartbeat_seconds: Annotated[
        Seconds, "How often the agent reports its sources, also when idle."
    ] = Seconds(30)
    welcome_seconds: Annotated[
        Seconds, "How long connecting may take, up to the aggregator's welcome."
    ] = Seconds(10)
    answer_seconds: Annotated[
        Seconds, "How long a sent batch may stay without an answer before connecting anew."
    ] = Seconds(60)
    full_seconds: Annotated[
        Seconds, "How long to wait before asking an aggregator whose log is full again."
    ] = Seconds(2)
    backoff_initial_seconds: Annotated[
        Seconds, "The longest wait after a first failure; it doubles with each round of failures."
    ] = Seconds(0.25)
    backoff_max_seconds: Annotated[Seconds, "The longest wait between two tries."] = Seconds(15)

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("addresses: at least one is needed, as aggregator.example:8471")
        for address in self.addresses:
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f"addresses: {address!r} is not HOST:PORT")
        given = [self.tls.ca, self.tls.certificate, self.tls.key]
        if any(given) and not all(given):
            raise ValueError("tls: ca, certificate and key belong together: set all three")
        if not any(given) and not self.allow_plaintext:
            raise ValueError(
                "tls: set ca, certificate and key (`opentrail up` makes development ones), "
                "or allow_plaintext: true"
            )
        if not 1 <= self.window <= 64:
            raise ValueError(f"window: {self.window} is not between 1 and 64")
        if not 0 < self.backoff_initial_seconds <= self.backoff_max_seconds:
            raise ValueError(
                "backoff_initial_seconds: must be above 0 and not above backoff_max_seconds"
            )
