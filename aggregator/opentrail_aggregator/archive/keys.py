"""Object keys and file names as CloudTrail's, and the names of buckets and prefixes.

    ROOT/ACCOUNT/FOLDER/REGION/YYYY/MM/DD/ACCOUNT_FOLDER_REGION_YYYYMMDDTHHmmZ_UNIQUE.json.gz
    ROOT/ACCOUNT/OpenTrail-Manifest/REGION/YYYY/MM/DD/ACCOUNT_OpenTrail-Manifest_..._UNIQUE.json.gz

ROOT is [prefix/]AWSLogs, and [prefix/]AWSLogs/o-ORG for a trail of an organization.
FOLDER is CloudTrail for management and data events, CloudTrail-NetworkActivity, CloudTrail-Insight
or CloudTrail-Aggregated for the others. Stamp and day are those of the delivery, rounded up to five
minutes, as every file of AWS has it: a reader that resumes by key order then never passes one by.

UNIQUE says where in which log the content lies, so the same part has the same name whenever and
however often it is written, and two trails that share a bucket never meet.

Whatever is put into a key is checked here once more: nothing from a record reaches a path by trust.
"""

import functools
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from opentrail_aggregator.trails.trail import root_of_trail

MANIFEST_FOLDER = "OpenTrail-Manifest"
FOLDERS = {
    "NetworkActivity": "CloudTrail-NetworkActivity",
    "Insight": "CloudTrail-Insight",
    "Aggregated": "CloudTrail-Aggregated",
}
"""eventCategory -> folder; every other category is in DEFAULT_FOLDER."""
DEFAULT_FOLDER = "CloudTrail"
LOG_FOLDERS = frozenset((DEFAULT_FOLDER, *FOLDERS.values()))

KEY_MAX_BYTES = 1024
PREFIX_MAX_CHARACTERS = 200
SLOT_SECONDS = 300

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9!_.*'()=+@,:-]{1,255}", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_UNIQUE = re.compile(r"[A-Za-z0-9]{16}", re.ASCII)
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
UNIQUE_CHARACTERS = 16

_LOG_KEY = re.compile(
    r"(?P<root>(?:.+/)?AWSLogs(?:/o-[a-z0-9]+)?)/(?P<account>[0-9]{12})/(?P<folder>[A-Za-z-]+)/"
    r"(?P<region>[a-z0-9-]{1,40})/(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/"
    r"(?P=account)_(?P=folder)_(?P=region)_(?P<stamp>[0-9]{8}T[0-9]{4}Z)_"
    r"(?P<unique>[A-Za-z0-9]{16})\.json\.gz",
    re.ASCII,
)


class PartKey(NamedTuple):
    """What belongs into one row of objects."""

    trail: str
    """The trail's ARN."""
    account: str
    region: str
    hour: int
    """Of the events' time: epoch seconds // 3600."""
    folder: str


class KeyParts(NamedTuple):
    """A key read back."""

    account: str
    folder: str
    region: str
    day: str
    stamp: str
    unique: str
    root: str
    """What stands before the account."""


@functools.lru_cache(maxsize=4096)
def unique_name(*parts: str | int) -> str:
    """16 letters and digits that stand for `parts`."""
    text = "\0".join(str(part) for part in parts)
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    letters = []
    for _ in range(UNIQUE_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(letters)


def object_key(
    prefix: str,
    account: str,
    folder: str,
    region: str,
    delivered_at_ns: int,
    unique: str,
    organization: str = "",
) -> str:
    """The key of a log object or a manifest; ValueError if any part of it is not allowed."""
    if folder not in LOG_FOLDERS and folder != MANIFEST_FOLDER:
        raise ValueError(f"{folder!r} is no folder of the archive")
    if not _ACCOUNT.fullmatch(account):
        raise ValueError(f"{account!r} is no account of 12 digits")
    if not _REGION.fullmatch(region):
        raise ValueError(f"{region!r} is no region [a-z0-9-]{{1,40}}")
    if not _UNIQUE.fullmatch(unique):
        raise ValueError(f"{unique!r} is not 16 letters and digits")
    if organization and not _ORGANIZATION.fullmatch(organization):
        raise ValueError(f"{organization!r} is no organization")
    check_prefix(prefix)
    at = slot_of(delivered_at_ns)
    name = f"{account}_{folder}_{region}_{at:%Y%m%dT%H%MZ}_{unique}.json.gz"
    root = root_of_trail(prefix, organization)
    return f"{root}/{account}/{folder}/{region}/{at:%Y/%m/%d}/{name}"


def slot_of(delivered_at_ns: int) -> datetime:
    """The delivery time rounded up to five minutes."""
    seconds = -(-delivered_at_ns // (SLOT_SECONDS * 1_000_000_000)) * SLOT_SECONDS
    return _EPOCH + timedelta(seconds=seconds)


def read_key(key: str) -> KeyParts | None:
    """What a key of a log object or manifest says, None if it is neither."""
    match = _LOG_KEY.fullmatch(key)
    if match is None or (match["folder"] not in LOG_FOLDERS | {MANIFEST_FOLDER}):
        return None
    return KeyParts(
        match["account"], match["folder"], match["region"], match["day"], match["stamp"],
        match["unique"], match["root"],
    )  # fmt: skip


def check_bucket(bucket: str) -> None:
    """ValueError unless `bucket` can be the name of an S3 bucket (and of a folder)."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError(
            f"bucket: {bucket!r} is no bucket name; use 3 to 63 of a-z, 0-9, hyphen and dot"
        )


def check_prefix(prefix: str) -> None:
    """ValueError unless `prefix` is empty or safe segments joined by slashes."""
    if not prefix:
        return
    if len(prefix) > PREFIX_MAX_CHARACTERS:
        raise ValueError(f"prefix: {len(prefix)} characters, limit {PREFIX_MAX_CHARACTERS}")
    segments = prefix.split("/")
    if not all(_is_segment(each) for each in segments) or "AWSLogs" in segments:
        raise ValueError(f"prefix: {prefix!r}: use letters, digits and -_. between single slashes")


def check_key(key: str) -> list[str]:
    """The segments of `key`, each safe as a file name; ValueError otherwise."""
    segments = key.split("/")
    if len(key) > KEY_MAX_BYTES or not all(_is_segment(each) for each in segments):
        raise ValueError(f"{key[:200]!r} is no key that can lie in a folder")
    return segments


def time_text(seconds: int) -> str:
    """RFC 3339 of epoch seconds, in whole seconds UTC."""
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def hour_text(hour: int) -> str:
    """The beginning of an hour as RFC 3339."""
    return time_text(hour * 3600)


def _is_segment(text: str) -> bool:
    return bool(_SEGMENT.fullmatch(text)) and text not in (".", "..")
