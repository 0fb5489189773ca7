"""A place (one epoch of one agent), a visit (one stream at it), and what reception needs of others.

A place outlives its visits, because batches may be on their way to the log when the agent comes
back.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from opentrail_aggregator.ingest.admission import Lane, Refuse
from opentrail_aggregator.ingest.peer import Peer
from opentrail_aggregator.ingest.settings import Grant
from opentrail_aggregator.wal.log import NewFrame

DISPLACED_MAX = 4
"""More displacements than this within a minute: two machines share an epoch."""


class Answers(Protocol):
    """The way back to an agent."""

    def acknowledge(self, through: int) -> None: ...

    def refuse(self, refusal: Refuse) -> None: ...

    def close(self) -> None:
        """End the stream once what was said before is sent."""
        ...


class Beliefs(Protocol):
    """Whom to believe at this moment."""

    @property
    def grants(self) -> tuple[Grant, ...]: ...

    def is_revoked(self, peer: Peer) -> bool: ...

    def objection(self, peer: Peer) -> str:
        """Why a certificate is believed no more; empty if it is."""
        ...

    def is_shared(self, name: str) -> bool: ...


@dataclass(slots=True, eq=False)
class Visit:
    """One stream of an agent."""

    place: "Place"
    grant: Grant
    answers: Answers
    peer: Peer
    machine: str
    host: str
    version: str
    began_at: float
    heard_at: float
    is_over: bool = False
    heartbeat_at: float = float("-inf")

    @property
    def whereabouts(self) -> str:
        """The machine, for people."""
        return f"{self.host or '?'} ({self.peer.address or '?'})"


@dataclass(slots=True, eq=False)
class Place:
    """One (agent, epoch), as long as somebody is there or something is on its way."""

    lane: Lane
    visit: Visit | None = None
    displaced_at: deque[float] = field(default_factory=lambda: deque(maxlen=DISPLACED_MAX))
    ending: dict[tuple[str, str], tuple[int, NewFrame]] = field(default_factory=dict)
    """Ended imports, by source and generation, whose last batch is not durable yet."""
    heartbeat: dict[str, Any] = field(default_factory=dict)

    @property
    def is_vacant(self) -> bool:
        return self.visit is None and not self.lane.on_way and not self.ending
