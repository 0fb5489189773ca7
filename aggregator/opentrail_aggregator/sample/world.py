"""The company behind the sample: accounts, people, programs, addresses and the things they use.

Everything is drawn from one `random.Random`, so that a seed gives the same world again. Account
numbers and addresses are from the ranges set aside for documentation.
"""

import random
from dataclasses import dataclass, field

Json = dict[str, object]

REGIONS = (
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-2",
    "ap-northeast-1",
)

# (number, name, regions it works in, busyness)
ACCOUNTS = (
    ("111122223333", "management", ("us-east-1",), 1),
    (
        "222233334444",
        "production",
        ("us-east-1", "eu-west-1", "ap-southeast-2", "ap-northeast-1"),
        6,
    ),
    ("333344445555", "staging", ("us-west-2", "eu-west-1"), 3),
    ("444455556666", "data", ("us-east-1", "eu-central-1"), 4),
    ("555566667777", "security", ("us-east-1", "eu-central-1"), 1),
)

PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")
ROLES = ("deploy-pipeline", "orders-service", "billing-service", "etl-nightly", "readonly-audit")
_SERVICES = ("ec2.amazonaws.com", "lambda.amazonaws.com", "autoscaling.amazonaws.com")

_BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/130.0 Safari"
_SDK = "Boto3/1.35.60 md/Botocore#1.35.60 ua/2.0 os/linux#6.1 lang/python#3.12.7"
_GO_SDK = "aws-sdk-go-v2/1.32.4 os/linux lang/go#1.23.2 md/GOARCH#arm64"
_CLI = "aws-cli/2.22.4 md/awscrt#0.22.0 os/macos#24.1.0 lang/python#3.12.6"
_TERRAFORM = "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 aws-sdk-go-v2/1.32.4 os/linux"

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(slots=True)
class Session:
    """One actor at work for a while: the same credentials, address and program."""

    kind: str
    """person, program or service: decides what it does."""
    account: str
    home_account: str
    regions: tuple[str, ...]
    address: str
    user_agent: str
    identity: Json
    left: int
    """Calls until the session ends."""


@dataclass(slots=True)
class Account:
    """The things of one account that records speak about."""

    number: str
    name: str
    regions: tuple[str, ...]
    buckets: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)


class World:
    """Who there is, and who is at work now."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.accounts = {number: self._account(number, name, regions)
                         for number, name, regions, _ in ACCOUNTS}  # fmt: skip
        self._weights = [busyness for *_, busyness in ACCOUNTS]
        self._offices = [f"198.51.100.{rng.randrange(1, 255)}" for _ in range(6)]
        self._principals: dict[str, str] = {}
        self._sessions: list[Session] = []

    def session(self, now_text: str) -> Session:
        """Somebody at work; a new session starts when there is room for one."""
        if len(self._sessions) < 12:
            self._sessions.append(self._new_session(now_text))
        session = self.rng.choice(self._sessions)
        session.left -= 1
        if session.left <= 0:
            self._sessions.remove(session)
        return session

    def identifier(self, prefix: str, length: int = 17) -> str:
        """An id as EC2 and others make them: i-0123456789abcdef0."""
        return f"{prefix}{self.rng.getrandbits(4 * length):0{length}x}"

    def access_key(self, prefix: str) -> str:
        return prefix + "".join(self.rng.choices(_BASE32, k=16))

    def _account(self, number: str, name: str, regions: tuple[str, ...]) -> Account:
        rng = self.rng
        return Account(
            number,
            name,
            regions,
            buckets=[f"{name}-{use}-{number[:4]}" for use in ("logs", "assets", "backup", "lake")],
            functions=[f"{name}-{use}" for use in ("thumbnailer", "webhook", "reconcile")],
            instances=[self.identifier("i-0", 16) for _ in range(12)],
            keys=[f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-4{rng.getrandbits(12):03x}"
                  f"-a{rng.getrandbits(12):03x}-{rng.getrandbits(48):012x}" for _ in range(3)],
            tables=[f"{name}-{use}" for use in ("orders", "sessions", "ledger")],
        )  # fmt: skip

    def _new_session(self, now_text: str) -> Session:
        rng = self.rng
        (number, _, regions, _), = rng.choices(ACCOUNTS, self._weights)  # fmt: skip
        kind = rng.choices(("person", "program", "service"), (4, 6, 1))[0]
        left = rng.randrange(4, 60)
        if kind == "service":
            service = rng.choice(_SERVICES)
            identity: Json = {"type": "AWSService", "invokedBy": service}
            return Session(kind, number, number, regions, service, service, identity, left)
        if kind == "program":
            identity = self._assumed_role(number, rng.choice(ROLES), self.identifier("i-0", 16),
                                          now_text, mfa="false")  # fmt: skip
            address = f"203.0.113.{rng.randrange(1, 255)}"
            agent = rng.choice((_SDK, _GO_SDK, _TERRAFORM))
            return Session(kind, number, number, regions, address, agent, identity, left)
        person = rng.choice(PEOPLE)
        home = number
        draw = rng.random()
        if draw < 0.02:
            identity = {
                "type": "Root",
                "principalId": number,
                "arn": f"arn:aws:iam::{number}:root",
                "accountId": number,
                "accessKeyId": "",
            }
        elif draw < 0.45:
            identity = self._user(number, person)
        else:
            # People sign in at the management account and take a role where they work.
            home = ACCOUNTS[0][0]
            identity = self._assumed_role(number, "Engineer", person, now_text, mfa="true")
        agent = rng.choice((_BROWSER, _CLI, _BROWSER))
        return Session(
            kind, number, home, regions, rng.choice(self._offices), agent, identity, left
        )

    def _user(self, number: str, person: str) -> Json:
        return {
            "type": "IAMUser",
            "principalId": self._principal("AIDA", number, person),
            "arn": f"arn:aws:iam::{number}:user/{person}",
            "accountId": number,
            "accessKeyId": self.access_key("AKIA"),
            "userName": person,
        }

    def _assumed_role(
        self, number: str, role: str, session_name: str, now_text: str, mfa: str
    ) -> Json:
        principal = self._principal("AROA", number, role)
        return {
            "type": "AssumedRole",
            "principalId": f"{principal}:{session_name}",
            "arn": f"arn:aws:sts::{number}:assumed-role/{role}/{session_name}",
            "accountId": number,
            "accessKeyId": self.access_key("ASIA"),
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": principal,
                    "arn": f"arn:aws:iam::{number}:role/{role}",
                    "accountId": number,
                    "userName": role,
                },
                "attributes": {"creationDate": now_text, "mfaAuthenticated": mfa},
            },
        }

    def _principal(self, prefix: str, number: str, name: str) -> str:
        """The same name in the same account keeps its principal id."""
        place = f"{number}/{name}"
        if place not in self._principals:
            self._principals[place] = self.access_key(prefix) + self.rng.choice(_BASE32)
        return self._principals[place]
