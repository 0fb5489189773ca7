"""Where in the bucket objects lie: what stands before the account in their keys.

[prefix/]AWSLogs/            the configured one, of `default`
[prefix/]AWSLogs/[o-ORG/]    of each trail that ever was, as the archive remembers
"""

from opentrail.files import DISK, Files
from opentrail_aggregator.archive.staging.store import read_current
from opentrail_aggregator.home import Home
from opentrail_aggregator.trails.trail import root_of_trail


def roots_of(home: Home, prefix: str, files: Files = DISK) -> list[str]:
    """All roots of an archive, each with its slash, in order; from any process."""
    current = read_current(home.staging, files)
    trails = current.state.get("trails", {}) if current is not None else {}
    return sorted({f"{each}/" for each in (root_of_trail(prefix), *trails.get("roots", []))})
