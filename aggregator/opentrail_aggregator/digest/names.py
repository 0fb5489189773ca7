"""Keys of digests as CloudTrail's, and the names in a trail's ARN.

    [prefix/]AWSLogs/[o-ORG/]ACCOUNT/CloudTrail-Digest/REGION/YYYY/MM/DD/
        ACCOUNT_CloudTrail-Digest_REGION_TRAIL_HOMEREGION_YYYYMMDDTHHMMSSZ[_backfill].json.gz

Day and stamp are those of the end of the digest's window. The part before ACCOUNT is the `root`.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

FOLDER = "CloudTrail-Digest"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_KEY = re.compile(
    r"(?P<root>(?:.+/)?AWSLogs(?:/o-[a-z0-9]+)?)/(?P<account>[0-9]{12})/CloudTrail-Digest/"
    r"(?P<region>[a-z0-9-]{1,40})/(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/"
    r"(?P=account)_CloudTrail-Digest_(?P=region)_(?P<trail>[A-Za-z0-9._-]{1,128})_"
    r"(?P<home>[a-z0-9-]{1,40})_(?P<stamp>[0-9]{8}T[0-9]{6}Z)(?P<backfill>_backfill)?\.json\.gz",
    re.ASCII,
)
_ROOT = re.compile(r"((?:.+/)?AWSLogs(?:/o-[a-z0-9]+)?)/([0-9]{12})/", re.ASCII)
_ARN = re.compile(
    r"arn:[^:]+:cloudtrail:(?P<home>[a-z0-9-]{1,40}):(?P<account>[0-9]{12}):trail/"
    r"(?P<name>[A-Za-z0-9._-]{1,128})",
    re.ASCII,
)
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z", re.ASCII)


class DigestKey(NamedTuple):
    """A key read back."""

    root: str
    account: str
    region: str
    day: str
    trail: str
    home_region: str
    stamp: str
    backfill: bool


def digest_key(
    root: str,
    account: str,
    region: str,
    trail: str,
    home_region: str,
    end_s: int,
    *,
    backfill: bool = False,
) -> str:
    """Where the digest of the window ending at `end_s` lies."""
    at = _EPOCH + timedelta(seconds=end_s)
    key = (
        f"{root}/{account}/{FOLDER}/{region}/{at:%Y/%m/%d}/{account}_{FOLDER}_{region}_{trail}_"
        f"{home_region}_{at:%Y%m%dT%H%M%SZ}{'_backfill' if backfill else ''}.json.gz"
    )
    if read_digest_key(key) is None:
        raise ValueError(f"{key[:300]!r} is no key of a digest")
    return key


def read_digest_key(key: str) -> DigestKey | None:
    """What a digest's key says, None if it is none."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    return DigestKey(
        match["root"], match["account"], match["region"], match["day"], match["trail"],
        match["home"], match["stamp"], match["backfill"] is not None,
    )  # fmt: skip


def stamp_of_key(key: str) -> str:
    """The stamp in a digest's key, which orders the digests of a chain also across prefixes."""
    found = read_digest_key(key)
    return "" if found is None else found.stamp


def root_of(object_key: str) -> str:
    """What stands before the account in the key of a log object."""
    match = _ROOT.match(object_key)
    if match is None:
        raise ValueError(f"{object_key[:300]!r} is no key below AWSLogs/")
    return match[1]


def trail_names(arn: str) -> tuple[str, str]:
    """Name and home region of a trail."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise ValueError(f"{arn[:300]!r} is no ARN of a trail")
    return match["name"], match["home"]


def stamp_text(seconds: int) -> str:
    """The stamp in a digest's name."""
    return f"{_EPOCH + timedelta(seconds=seconds):%Y%m%dT%H%M%SZ}"


def seconds_of(text: str) -> int | None:
    """Epoch seconds of YYYY-MM-DDTHH:MM:SSZ, None if it is anything else."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        at = datetime(*map(int, match.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return int((at - _EPOCH).total_seconds())
