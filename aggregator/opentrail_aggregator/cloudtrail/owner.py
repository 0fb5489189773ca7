"""Whose account a key acts as, and how AWS names what belongs to it."""

from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.trails.trail import partition_of_region

_WILD = ("*", "?")


def acting_account(scope: Scope, install_account: str) -> str:
    """The account that a key stands in: the install's if it may see it, else its first own one."""
    if scope.covers_account(install_account):
        return install_account
    for pattern in scope.accounts:
        if len(pattern) == 12 and pattern.isdigit():
            return pattern
    return ""


def arn_of(region: str, account: str, resource: str) -> str:
    """An ARN of CloudTrail; `resource` is `trail/NAME` or `channel/UUID`."""
    return f"arn:{partition_of_region(region)}:cloudtrail:{region}:{account}:{resource}"
