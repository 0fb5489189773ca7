"""Names of trails: what may be one, in AWS's words, and which trail of the caller's is meant."""

import re
from collections.abc import Mapping

from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.owner import acting_account
from opentrail_aggregator.trails.trail import TrailSpec

ARN = re.compile(
    r"arn:aws[a-z-]*:cloudtrail:[a-z0-9-]{1,40}:[0-9]{12}:trail/[A-Za-z0-9._-]{1,128}", re.ASCII
)
_LETTERS = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)


def is_visible(trail: TrailSpec, account: str) -> bool:
    """Whether `account` may know of the trail: its own, or one of its organization."""
    return account == trail.account or (bool(trail.organization) and account in trail.members)


def is_in_region(trail: TrailSpec, region: str) -> bool:
    """Whether the trail, or a shadow of it, is there."""
    return trail.multi_region or trail.home_region == region


def find_trail(
    trails: Mapping[str, TrailSpec], call: Call, install_account: str, name: str
) -> TrailSpec:
    """The caller's trail of that ARN, or of that name in the region of the call."""
    check_name(name)
    account = acting_account(call.scope, install_account)
    if name.startswith("arn:"):
        found = trails.get(name)
        if found is not None and is_visible(found, account):
            return found
    named = [
        each
        for each in trails.values()
        if each.name == name and each.account == account and is_in_region(each, call.region)
    ]
    if named:
        return min(named, key=lambda each: each.home_region != call.region)
    raise ApiError("TrailNotFoundException", f"Unknown trail: {name[:300]} for the user: {account}")


def check_owner(
    trail: TrailSpec, call: Call, install_account: str, *, anywhere: bool = False
) -> None:
    """Raise unless the caller may change the trail here: its owner, in its home region (tags of
    it: `anywhere`)."""
    if acting_account(call.scope, install_account) != trail.account:
        raise ApiError(
            "NotOrganizationMasterAccountException",
            f"{trail.arn} belongs to the organization; its management account changes it.",
        )
    if call.region != trail.home_region and not anywhere:
        raise ApiError(
            "InvalidHomeRegionException",
            f"The home region of {trail.arn} is {trail.home_region}: change it there.",
        )


def check_name(name: str) -> None:
    """Raise unless `name` could name a trail, in AWS's words."""
    if name.startswith("arn:"):
        if ARN.fullmatch(name) is None:
            raise ApiError("CloudTrailARNInvalidException", f"{name[:300]} is no ARN of a trail.")
        return
    problem = ""
    if len(name) < 3:
        problem = (
            "Trail name too short. Minimum allowed length: 3 characters. "
            f"Specified name length: {len(name)} characters."
        )
    elif len(name) > 128:
        problem = (
            "Trail name too long. Maximum allowed length: 128 characters. "
            f"Specified name length: {len(name)} characters."
        )
    elif _LETTERS.fullmatch(name) is None:
        problem = (
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, "
            "periods (.), hyphens (-), and underscores (_)."
        )
    elif not name[0].isalnum():
        problem = "Trail name must starts with a letter or number."
    elif not name[-1].isalnum():
        problem = "Trail name must ends with a letter or number."
    elif re.search(r"[._-]{2}", name) or _IPV4.fullmatch(name):
        problem = "Trail name is not like my-trail: no two of . _ - together, no IP address."
    if problem:
        raise ApiError("InvalidTrailNameException", problem)
