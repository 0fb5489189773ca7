"""Where the archive goes and when a part of an hour is closed."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from opentrail.limits import GIB, MIB
from opentrail.settings import Bytes, Seconds, parse_seconds
from opentrail_aggregator.archive.keys import check_bucket, check_prefix

KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Section `archive.s3`; credentials come from where the AWS tools look for them."""

    endpoint: Annotated[str, "URL of an S3 server that is not AWS; empty for AWS."] = ""
    region: Annotated[str, "Region of the bucket; empty takes it from the environment."] = ""
    profile: Annotated[str, "Profile of the AWS configuration files; empty takes the default."] = ""
    path_style: Annotated[bool, "Address the bucket in the path instead of the host name."] = False
    sse: Annotated[str, "Server-side encryption: empty (the bucket's), AES256 or aws:kms."] = ""
    kms_key_id: Annotated[str, "Key for sse aws:kms; empty takes the account's default key."] = ""
    acl: Annotated[
        str, "Canned ACL on every object, for example bucket-owner-full-control; empty sends none."
    ] = ""
    storage_class: Annotated[str, "Storage class of every object; empty takes the bucket's."] = ""
    lock_mode: Annotated[str, "Object Lock on every object: empty, GOVERNANCE or COMPLIANCE."] = ""
    lock_days: Annotated[int, "How long Object Lock keeps an object, with lock_mode."] = 0
    legal_hold: Annotated[bool, "Put every object under legal hold."] = False
    if_none_match: Annotated[
        bool, "Ask the server to refuse a key that is taken; false for servers that do not know it."
    ] = True
    workers: Annotated[int, "Objects on their way at once."] = 4
    timeout: Annotated[Seconds, "How long one request may stay silent."] = Seconds(30)

    def __post_init__(self) -> None:
        if self.lock_mode not in ("", "GOVERNANCE", "COMPLIANCE"):
            raise ValueError(f"lock_mode: {self.lock_mode!r} is not GOVERNANCE or COMPLIANCE")
        if bool(self.lock_mode) != (self.lock_days > 0):
            raise ValueError("lock_mode and lock_days go together; give both or none")
        if self.sse not in ("", "AES256", "aws:kms"):
            raise ValueError(f"sse: {self.sse!r} is not AES256 or aws:kms")
        if self.kms_key_id and self.sse != "aws:kms":
            raise ValueError("kms_key_id needs sse: aws:kms")
        if not 1 <= self.workers <= 32:
            raise ValueError(f"workers: {self.workers} is not between 1 and 32")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Section `archive`."""

    destination: Annotated[
        Literal["local", "s3"], "local (HOME/archive/BUCKET) or s3 (see archive.s3)."
    ] = "local"
    bucket: Annotated[str, "Bucket, or the folder standing for one."] = "opentrail"
    prefix: Annotated[str, "Put before AWSLogs/ in every key; no slash at its ends."] = ""
    shared: Annotated[
        bool,
        "Begin a log of one's own although the archive holds another aggregator's events; without "
        "it a home that has lost its disk is told to rebuild.",
    ] = False
    settle: Annotated[
        Seconds, "A part is closed when its hour has ended and nothing came for it this long."
    ] = Seconds(180)
    settle_max: Annotated[
        Seconds, "At the latest this long after the hour's end, or after the first late event."
    ] = Seconds(600)
    import_idle: Annotated[
        Seconds, "An import that sends nothing for this long no longer holds its parts open."
    ] = Seconds(900)
    retention: Annotated[
        str, "keep, or an age (365d): objects delivered longer ago go, their manifests stay."
    ] = KEEP
    gzip_level: Annotated[int, "0 (fastest) to 3 (smallest)."] = 2
    buffer: Annotated[Bytes, "Events held in memory before they are staged on disk."] = Bytes(
        16 * MIB
    )
    staged_max: Annotated[
        Bytes, "Reading the log stops while this much waits for a destination that is away."
    ] = Bytes(1 * GIB)
    checkpoint: Annotated[
        Seconds, "How often the place in the log is saved; a crash repeats at most this much."
    ] = Seconds(10)
    s3: S3Settings = field(default_factory=S3Settings)

    def __post_init__(self) -> None:
        check_bucket(self.bucket)
        check_prefix(self.prefix)
        if self.gzip_level not in (0, 1, 2, 3):
            raise ValueError(f"gzip_level: {self.gzip_level} is not 0, 1, 2 or 3")
        if self.settle <= 0 or self.settle_max <= 0:
            raise ValueError("settle and settle_max: give more than 0 seconds")
        if not MIB <= self.buffer <= 256 * MIB:
            raise ValueError("buffer: give between 1MiB and 256MiB")
        if self.retention != KEEP and parse_seconds(self.retention) < 86400:
            raise ValueError(f"retention: {self.retention!r} is less than a day; give keep or days")

    @property
    def retention_seconds(self) -> float | None:
        """The age at which objects go, None when they are kept."""
        return None if self.retention == KEEP else parse_seconds(self.retention)
