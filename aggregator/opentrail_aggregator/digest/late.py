"""Whether files that were delivered into a closed window are in its digest already.

They are after a crash, or when an archive is made again from the log: the same delivery comes once
more. Reads the bucket: one listing, one digest.
"""

from opentrail.errors import DamagedError
from opentrail_aggregator.archive.destination import Destination, NoSuchObjectError
from opentrail_aggregator.digest.document import LogFile
from opentrail_aggregator.digest.inbox import Delivered
from opentrail_aggregator.digest.names import (
    FOLDER,
    digest_key,
    read_digest_key,
    stamp_text,
    trail_names,
)
from opentrail_aggregator.digest.reading import read_digest
from opentrail_aggregator.digest.state import ChainState


def not_listed(destination: Destination, chain: ChainState, entry: Delivered) -> list[LogFile]:
    """The files of `entry` that the digest of their window does not list."""
    name, home_region = trail_names(chain.trail)
    arguments = (entry.root, chain.account, chain.region, name, home_region)
    stamp = stamp_text(entry.delivered_at_s)
    prefix = f"{entry.root}/{chain.account}/{FOLDER}/{chain.region}/"
    for listed in destination.list(prefix, digest_key(*arguments, entry.delivered_at_s)):
        key = read_digest_key(listed.key)
        if key is None or key.backfill or (key.trail, key.home_region) != (name, home_region):
            continue
        if key.stamp <= stamp:
            continue
        try:
            digest, _ = read_digest(destination, listed.key)
        except (DamagedError, NoSuchObjectError):
            break  # Then they are listed twice, which is better than never.
        known = {(file.s3Object, file.hashValue) for file in digest.logFiles}
        return [file for file in entry.files if (file.s3Object, file.hashValue) not in known]
    return list(entry.files)
