"""Where S3 is asked, and which buckets are followed."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from opentrail.s3_url import parse_s3_url
from opentrail.settings import Seconds

Folder = Literal[
    "CloudTrail", "CloudTrail-Insight", "CloudTrail-NetworkActivity", "CloudTrail-Aggregated"
]
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ClientSettings:
    """How S3 is asked; credentials come from where the AWS tools look for them."""

    endpoint: Annotated[str, "URL of an S3 server that is not AWS; empty for AWS."] = ""
    region: Annotated[str, "Region of the bucket; empty takes it from the environment."] = ""
    profile: Annotated[str, "Profile of the AWS configuration files; empty takes the default."] = ""
    path_style: Annotated[bool, "Address the bucket in the path instead of the host name."] = False
    workers: Annotated[int, "Objects fetched at once; each may take some MB of memory."] = 6
    timeout: Annotated[Seconds, "How long one request may stay silent."] = Seconds(30)

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 32:
            raise ValueError(f"workers: {self.workers} is not between 1 and 32")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3SourceSettings:
    """A bucket that CloudTrail delivers to, followed by listing it or by its notifications."""

    url: Annotated[str, "s3://BUCKET or s3://BUCKET/PREFIX: what is before AWSLogs/."]
    queue: Annotated[
        str,
        "URL of an SQS queue with the bucket's notifications (S3's, CloudTrail's by SNS, or "
        "EventBridge's); empty lists the bucket.",
    ] = ""
    queue_endpoint: Annotated[str, "URL of an SQS server that is not AWS; empty for AWS."] = ""
    visibility: Annotated[
        Seconds, "How long a received message is hidden from others; prolonged until it is stored."
    ] = Seconds(300)
    poll: Annotated[Seconds, "How often the bucket is listed."] = Seconds(60)
    look_back: Annotated[
        Seconds, "How far behind the newest file of a region others are still looked for."
    ] = Seconds(48 * 3600)
    since: Annotated[str, "First day that is listed (YYYY-MM-DD); empty begins at the oldest."] = ""
    folders: Annotated[
        list[Folder], "Which of CloudTrail's folders are taken; digests never are."
    ] = field(
        default_factory=lambda: ["CloudTrail", "CloudTrail-Insight", "CloudTrail-NetworkActivity"]
    )
    account: Annotated[str, "Account of records that name none (12 digits)."] = ""
    region: Annotated[str, "Region of records that name none."] = ""
    client: Annotated[S3ClientSettings, "How S3 is asked."] = field(
        default_factory=S3ClientSettings
    )

    def __post_init__(self) -> None:
        parse_s3_url(self.url, "url")
        if self.since and not _DAY.fullmatch(self.since):
            raise ValueError(f"since: {self.since!r} is not YYYY-MM-DD")
        if self.poll < 1:
            raise ValueError("poll: give 1s or more; each poll lists every region of the bucket")
        if not 5 <= self.visibility <= 43200:
            raise ValueError("visibility: between 5s and 12h")

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and prefix; the prefix ends with a slash or is empty."""
        bucket, prefix = parse_s3_url(self.url, "url")
        prefix = prefix.strip("/")
        return bucket, f"{prefix}/" if prefix else ""
