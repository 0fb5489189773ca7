"""Who is on the other side of a call, as TLS has proved it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opentrail.certificate import CertificateFacts, facts_of
from opentrail.errors import OpenTrailError
from opentrail_aggregator.ingest.tls import certified_agents

_log = logging.getLogger(__name__)
Context = Any
"""grpc.aio.ServicerContext; its type parameters say nothing that helps here."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What TLS has proved about the other side of a call."""

    names: list[str]
    facts: CertificateFacts | None
    pem: str
    address: str

    @property
    def serial(self) -> str:
        return self.facts.serial if self.facts else ""

    def is_over(self, now_ns: int) -> bool:
        """Whether its certificate has run out; TLS asks only at the handshake."""
        return self.facts is not None and now_ns >= self.facts.not_after * 1_000_000_000


def peer_of(context: Context, prefixes: Iterable[str] = ()) -> Peer:
    """Who calls, from gRPC's own findings."""
    found = context.auth_context()
    text = b"".join(map(bytes, found.get("x509_pem_cert", ()))).decode("ascii", "replace")
    facts = None
    if text:
        try:
            facts = facts_of(text)
        except OpenTrailError as error:
            _log.warning("a certificate that TLS took cannot be read: %s", error)
    address = context.peer().partition(":")[2].rpartition(":")[0]
    return Peer(certified_agents(found, prefixes), facts, text, address)
