"""What can be set about identities of agents."""

from dataclasses import dataclass
from typing import Annotated

from opentrail.settings import Seconds
from opentrail_aggregator.ingest.settings import Grant

LIFE_MIN_SECONDS = 60
LIFE_MAX_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """Section `identity`."""

    grants: Annotated[
        tuple[Grant, ...],
        "What each agent may send, as `ingest.grants`, whose place they take if there are any; a "
        "pattern may also be a whole SAN (`opentrail://agent/web-*`). Taken up by SIGHUP.",
    ] = ()
    certificate_life: Annotated[
        Seconds, "How long a certificate of an enrolled agent lives; it renews it at half of that."
    ] = Seconds(86400.0)
    uri_prefixes: Annotated[
        tuple[str, ...],
        "Beginnings of SAN URIs that name an agent by what follows, slashes as dots; for SPIFFE: "
        "`spiffe://example.org/opentrail/`.",
    ] = ()
    shared: Annotated[
        tuple[str, ...],
        "Agent names, as patterns, that several machines bear on purpose; others are an alarm.",
    ] = ()
    addresses: Annotated[
        tuple[str, ...],
        "HOST:PORT of the agents' port, as enrolled agents are told; if not given, the host they "
        "enrolled at with the port of grpc.listen.",
    ] = ()

    def __post_init__(self) -> None:
        if not LIFE_MIN_SECONDS <= self.certificate_life <= LIFE_MAX_SECONDS:
            raise ValueError(
                f"certificate_life: {self.certificate_life:g} s is not from 1min to 30d; hours to "
                "days are usual, because the agent renews it by itself"
            )
