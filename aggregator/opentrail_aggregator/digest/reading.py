"""One digest from the bucket: exactly one gzip member around exactly the members of a digest."""

import msgspec

from opentrail.errors import DamagedError
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.gzip_member import NotOneMemberError, read_member
from opentrail_aggregator.digest.document import DIGEST_MAX_BYTES, Digest, decode_digest


def read_digest(destination: Destination, key: str) -> tuple[Digest, bytes]:
    """The digest and its uncompressed bytes; DamagedError or NoSuchObjectError."""
    try:
        data = read_member(destination.read(key), DIGEST_MAX_BYTES)
        return decode_digest(data), data
    except NotOneMemberError as error:
        raise DamagedError(f"{key}: {error}") from error
    except msgspec.MsgspecError as error:
        raise DamagedError(f"{key}: is no digest: {error}") from error
