"""Limits of the CloudTrail API, and the organization that this installation stands for."""

import re
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudTrailSettings:
    """Section `cloudtrail`."""

    calls_per_second: Annotated[
        int,
        "Calls of one operation by one access key, with bursts of twice as many; more are answered "
        "with ThrottlingException. AWS allows 1 to 100.",
    ] = 2000
    channels_max: Annotated[int, "Channels of PutAuditEvents in each region."] = 100
    trails_max: Annotated[
        int, "Trails of an account in each region, multi-region ones included, `default` not."
    ] = 5
    organization_id: Annotated[
        str, "Answer of DescribeOrganization, as o-exampleorgid; empty: no organization."
    ] = ""
    organization_accounts: Annotated[
        tuple[str, ...], "Accounts whose events a trail of the organization takes."
    ] = ()

    def __post_init__(self) -> None:
        for name in ("calls_per_second", "channels_max", "trails_max"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise ValueError(f"{name}: {getattr(self, name)} is not within 1..1000000")
        if self.organization_id and not re.fullmatch(
            r"o-[a-z0-9]{10,32}", self.organization_id, re.ASCII
        ):
            raise ValueError(
                f"organization_id: {self.organization_id!r} is none; write o- and 10 to 32 of "
                "a-z0-9"
            )
        for account in self.organization_accounts:
            if not re.fullmatch(r"[0-9]{12}", account, re.ASCII):
                raise ValueError(f"organization_accounts: {account!r} is not 12 digits")
        if self.organization_accounts and not self.organization_id:
            raise ValueError("organization_accounts: set organization_id too")
