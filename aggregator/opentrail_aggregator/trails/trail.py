"""A trail as it is written into the log: everything that decides what it takes and where it goes.

    {"type": "trail", "arn": ARN, "number": N, "trail": {...} | null}

The frame holds the whole trail, null if it is deleted: what is said twice does no harm. Numbers
rise; a reader passes by what is not higher than the last it saw, so a change that is written again
after a doubt changes nothing.

Selectors, Insight selectors and tags are kept as CloudTrail's API gives them.
"""

import re
from typing import Any

import msgspec

from opentrail_aggregator.trails.selectors import Selectors, read_selectors

TRAIL_FRAME = "trail"
DEFAULT_NAME = "default"
GLOBAL_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}", re.ASCII)


def partition_of_region(region: str) -> str:
    """The AWS partition of a region."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


class TrailSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One trail. Times are seconds since 1970, 0 for never."""

    name: str
    home_region: str
    account: str
    bucket: str = ""
    """Empty for `default`: where the configuration says."""
    prefix: str = ""
    multi_region: bool = False
    global_events: bool = True
    validation: bool = False
    recursive: bool = True
    kms_key_id: str = ""
    organization: str = ""
    members: tuple[str, ...] = ()
    """The accounts of the organization, when the trail is one of it."""
    logging: bool = False
    everything: bool = False
    """Every event of every account and category: `default`, until it gets selectors."""
    basic: list[dict[str, Any]] = []
    advanced: list[dict[str, Any]] = []
    insights: list[dict[str, Any]] = []
    tags: list[dict[str, str]] = []
    created_at: int = 0
    started_at: int = 0
    stopped_at: int = 0

    def __post_init__(self) -> None:
        # Names go into keys and ARNs; a frame is believed only if they can.
        fits = (
            _NAME.fullmatch(self.name)
            and _REGION.fullmatch(self.home_region)
            and all(_ACCOUNT.fullmatch(each) for each in (self.account, *self.members))
            and (not self.organization or _ORGANIZATION.fullmatch(self.organization))
        )
        if not fits:
            raise ValueError(f"{self.name[:100]!r} of {self.account[:20]!r} can be no trail")

    @property
    def arn(self) -> str:
        partition = partition_of_region(self.home_region)
        return f"arn:{partition}:cloudtrail:{self.home_region}:{self.account}:trail/{self.name}"

    @property
    def is_default(self) -> bool:
        """The install's own trail, whose place the configuration file sets."""
        return not self.bucket

    @property
    def root(self) -> str:
        """What stands before the account in its keys."""
        return root_of_trail(self.prefix, self.organization)

    def selectors(self) -> Selectors:
        """What it takes, as long as it does not take everything."""
        if self.basic or self.advanced:
            return read_selectors(self.basic, self.advanced)
        return Selectors()


def root_of_trail(prefix: str, organization: str = "") -> str:
    """`[prefix/]AWSLogs[/o-ORG]`."""
    parts = (prefix, "AWSLogs", organization)
    return "/".join(part for part in parts if part)


def default_trail(account: str, home_region: str, prefix: str = "") -> TrailSpec:
    """The trail that an installation has from the start."""
    return TrailSpec(
        name=DEFAULT_NAME, home_region=home_region, account=account, prefix=prefix,
        multi_region=True, validation=True, logging=True, everything=True,
    )  # fmt: skip


def trail_of_frame(control: dict[str, Any]) -> tuple[str, int, TrailSpec | None]:
    """ARN, number and trail (None: deleted) of a control frame; ValueError if it is malformed."""
    arn, number, given = control.get("arn"), control.get("number"), control.get("trail")
    if not isinstance(arn, str) or not isinstance(number, int):
        raise ValueError("a frame of a trail has an arn and a number")
    if given is None:
        return arn, number, None
    spec = msgspec.convert(given, TrailSpec)
    if spec.arn != arn:
        raise ValueError(f"a frame of {arn[:200]} holds {spec.arn[:200]}")
    spec.selectors()  # SelectorError is a ValueError.
    return arn, number, spec
