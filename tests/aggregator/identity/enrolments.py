"""A home with an authority, and agents that ask it for certificates."""

from pathlib import Path

from opentrail.certificate import certificates_in, fingerprint_of
from opentrail.clock import Clock, SystemClock
from opentrail_agent.enrolment.place import IdentityPlace
from opentrail_agent.enrolment.request import NewKey, make_request
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.certificates import Credentials
from opentrail_aggregator.home import Home
from opentrail_aggregator.identity.enrolling import Enrolling, Issued
from opentrail_aggregator.identity.register import Register
from opentrail_aggregator.identity.tokens import TokenStore
from opentrail_aggregator.pki import DevelopmentPki


class EnrolmentDesk:
    """What an operator and a new agent do, without a network."""

    def __init__(self, directory: Path, clock: Clock | None = None, life: float = 86400) -> None:
        self.home = Home(directory)
        self.clock = clock or SystemClock()
        self.life = life
        DevelopmentPki(self.home.pki, self.clock).server(["127.0.0.1", "localhost"])
        self.tokens = TokenStore(self.home.identity, self.clock)
        self.register = Register(self.home.identity, self.clock)

    @property
    def enrolling(self) -> Enrolling:
        return Enrolling(self.home.pki, self.home.identity, self.life, self.clock)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(certificates_in((self.home.pki / "ca.crt").read_text())[0])

    def token(
        self, names: str = "web-*", scope: Scope | None = None, *, uses: int = 1,
        life_seconds: float = 3600, replaces: bool = False,
    ) -> str:  # fmt: skip
        return self.tokens.create(
            names, scope or Scope(), fingerprint=self.fingerprint, uses=uses,
            life_seconds=life_seconds, replaces=replaces,
        )  # fmt: skip

    def enrol(
        self, name: str, state: Path, token: str = "", made: NewKey | None = None
    ) -> tuple[Issued, Credentials]:
        """Enrol and keep the result as an agent does."""
        made = made or make_request(name)
        _, issued = self.enrolling.enrol(token or self.token(name), name, made.request)
        place = IdentityPlace(state)
        place.keep(issued.certificate, made.key, issued.authority)
        return issued, Credentials(place.authority, place.pair, place.pair)
