"""Whose events an object of the archive holds, read from its key.

    [prefix/]AWSLogs/[o-ORGANIZATION/]ACCOUNT/FOLDER/REGION/YYYY/MM/DD/NAME

Every object the archive writes (logs, digests, manifests) lies so. What does not is shown to keys
for all accounts and regions only.
"""

import re

from opentrail_aggregator.access.scope import Scope

_PLACE = re.compile(
    r"(?:.*/)?AWSLogs/(?:o-[a-z0-9]{4,32}/)?(?P<account>[0-9]{12})/[A-Za-z-]+/"
    r"(?P<region>[a-z0-9-]{1,40})/[0-9]{4}/[0-9]{2}/[0-9]{2}/[^/]+",
    re.ASCII,
)


def covers_object(scope: Scope, key: str) -> bool:
    """Whether somebody with `scope` may know of the object `key` (without its bucket)."""
    if scope.is_everything:
        return True
    match = _PLACE.fullmatch(key)
    return match is not None and scope.covers(match["account"], match["region"])
