"""Letting an agent in by a token, and giving it its next certificate by the one it has."""

from dataclasses import dataclass
from pathlib import Path

from opentrail.certificate import CertificateFacts, facts_of
from opentrail.clock import Clock
from opentrail.errors import OpenTrailError, UsageError
from opentrail_aggregator.identity.authority import Authority, read_request
from opentrail_aggregator.identity.register import Register
from opentrail_aggregator.identity.tokens import Token, TokenRefusedError, TokenStore
from opentrail_aggregator.ingest.admission import is_agent_name


class RenewalRefusedError(OpenTrailError):
    """An agent does not get another certificate from here."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What an agent gets."""

    certificate: str
    authority: str
    facts: CertificateFacts


class Enrolling:
    """One home's."""

    def __init__(self, pki: Path, directory: Path, life: float, clock: Clock) -> None:
        self._authority = Authority(pki, clock)
        self._tokens = TokenStore(directory, clock)
        self._register = Register(directory, clock)
        self._life = life

    def authority(self, token_id: str) -> str:
        """The authority's certificates, for who has a token that is good."""
        if not self._tokens.is_open(token_id):
            raise TokenRefusedError("this join token is not known here, or no longer good")
        return self._authority.bundle

    def enrol(self, token: str, name: str, request: str) -> tuple[Token, Issued]:
        """A certificate for `name`; TokenRefusedError and UsageError say why not."""
        if not is_agent_name(name):
            raise UsageError(f"{name[:128]!r} is no agent name: letters, digits and ._@-")
        signing, key = read_request(request)
        self._register.refresh()

        def allow(token: Token) -> None:
            held = self._register.holder(name)
            if held is not None and held["key_sha256"] != key and not token.replaces:
                raise TokenRefusedError(
                    f"agent {name} is enrolled and its certificate {held['serial']} is good: "
                    "revoke it (`opentrail-aggregator certificates revoke`), or make a token with "
                    "--replaces"
                )

        used = self._tokens.redeem(token, name, key, allow)
        issued = self._issue(signing, name)
        self._register.enrolled(name, used.scope, used.id, issued.facts, key)
        return used, issued

    def renew(self, name: str, present: str, request: str) -> Issued:
        """The next certificate for the bearer of `present`, which TLS has verified."""
        signing, key = read_request(request)
        self._register.refresh()
        serial = facts_of(present).serial
        if self._register.is_revoked(serial):
            raise RenewalRefusedError(f"certificate {serial} is revoked")
        if not self._authority.issued(present):
            raise RenewalRefusedError(
                f"certificate {serial} was not made by this aggregator's authority: whoever made "
                "it renews it"
            )
        issued = self._issue(signing, name)
        self._register.renewed(name, issued.facts, key)
        return issued

    def _issue(self, signing: object, name: str) -> Issued:
        certificate = self._authority.sign(signing, name, self._life)  # type: ignore[arg-type]
        return Issued(certificate, self._authority.bundle, facts_of(certificate))
