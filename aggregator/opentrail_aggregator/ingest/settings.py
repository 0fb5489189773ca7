"""Who may send what, where ingest listens, and how much of one agent it bears at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from opentrail.limits import BATCH_WINDOW, MIB
from opentrail.settings import Bytes, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """For which accounts and regions an agent speaks; `*` stands for any run of characters."""

    agent: Annotated[str, "Names of agents, as their certificates say; a pattern."]
    accounts: Annotated[tuple[str, ...], "Accounts they may send events of; patterns."] = ("*",)
    regions: Annotated[
        tuple[str, ...],
        "Regions they may send events of; patterns. Global services are always included.",
    ] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """Section `ingest`."""

    grants: Annotated[
        tuple[Grant, ...],
        "What each agent may send; the first whose pattern matches its name counts. An agent that "
        "none matches is refused; events outside its grant go to quarantine.",
    ] = (Grant(agent="*"),)
    window: Annotated[int, "Batches that one agent may have unacknowledged."] = BATCH_WINDOW
    queue_bytes: Annotated[
        Bytes, "Batches waiting for the log in memory, of all agents; beyond it, reading stops."
    ] = Bytes(48 * MIB)
    heartbeat_min_interval: Annotated[
        Seconds, "Heartbeats of one agent that come sooner after the last one are not logged."
    ] = Seconds(1.0)
    epochs_max: Annotated[
        int, "Numberings (one per spool of an agent) that are remembered for one agent name."
    ] = 10_000

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 1024:
            raise ValueError(f"window {self.window} is not from 1 to 1024")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcSettings:
    """Section `grpc`: the port that agents connect to."""

    listen: Annotated[str, "Address and port for agents, always with mutual TLS."] = (
        "127.0.0.1:8471"
    )
    certificate: Annotated[
        Path | None, "The server's certificate chain, PEM; HOME/pki/server.crt if not given."
    ] = None
    key: Annotated[Path | None, "Its key, PEM; HOME/pki/server.key if not given."] = None
    authority: Annotated[
        Path | None,
        "Authority of agents' certificates, PEM; HOME/pki/ca.crt if not given.",
    ] = None
    connections_max: Annotated[int, "Agents' streams at a time; more are asked to come later."] = (
        4096
    )
    connection_age: Annotated[
        Seconds, "A connection is ended after this time, so that agents spread out again."
    ] = Seconds(3600.0)
    connection_age_grace: Annotated[Seconds, "What is in flight then may take this long."] = (
        Seconds(20.0)
    )
    idle: Annotated[
        Seconds,
        "A stream on which an agent says nothing for so long is ended; it sends a "
        "heartbeat every 30 s.",
    ] = Seconds(180.0)
    hello: Annotated[Seconds, "A new stream has to introduce itself within this time."] = Seconds(
        10.0
    )
    drain: Annotated[Seconds, "How long a stop waits for what is in flight."] = Seconds(3.0)
