"""Where OpenSearch is, how to speak to it, and how much at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol
from urllib.parse import urlsplit

from opentrail.limits import MIB
from opentrail.settings import Bytes, Seconds
from opentrail_aggregator.index.settings import RetentionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSearchSettings:
    """Section `opensearch`."""

    url: Annotated[
        str, "Address of the cluster, https://host:9200; without one OpenSearch is not used."
    ] = ""
    authority: Annotated[
        Path | None, "Certificates that https is checked with, PEM; the system's if not given."
    ] = None
    user: Annotated[str, "Name for basic authentication."] = ""
    password_file: Annotated[Path | None, "File with the password of `user`."] = None
    header_file: Annotated[
        Path | None,
        "File with the value of the header Authorization (`Bearer …`, `ApiKey …`), in place of a "
        "user and password.",
    ] = None
    aws_region: Annotated[
        str, "Region of a domain managed by AWS: requests are signed (SigV4) for it."
    ] = ""
    aws_service: Annotated[
        Literal["es", "aoss"], "What is signed for: es (a domain) or aoss (serverless)."
    ] = "es"
    shards: Annotated[int, "Primary shards of each day's index, from the next day on."] = 1
    replicas: Annotated[int, "Copies of each shard."] = 1
    refresh: Annotated[str, "How soon new events are searchable, as OpenSearch writes it."] = "1s"
    free_text: Annotated[
        bool,
        "Whether bare words can be searched; without it an index is smaller, and days that were "
        "written without are not found by words later.",
    ] = True
    body_bytes: Annotated[
        Bytes, "Size of one request at most; halved and raised again as the cluster takes it."
    ] = Bytes(5 * MIB)
    senders: Annotated[
        int, "Requests under way at once, at most; begun with two, fewer where it is too much."
    ] = 4
    timeout: Annotated[Seconds, "How long one request may take."] = Seconds(60.0)

    def __post_init__(self) -> None:
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"url: {self.url!r} is no address; write https://host:9200")
            if parts.username or parts.password:
                raise ValueError("url: write no password in it; use user and password_file")
        if bool(self.user) != (self.password_file is not None):
            raise ValueError("user and password_file belong together")
        if self.user and self.header_file is not None:
            raise ValueError("header_file stands in place of user and password_file")
        if self.aws_region and (self.user or self.header_file is not None):
            raise ValueError("aws_region stands in place of user, password_file and header_file")
        for name, most in (("shards", 1024), ("senders", 16)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: {getattr(self, name)} is not from 1 to {most}")
        if not 0 <= self.replicas <= 16:
            raise ValueError(f"replicas: {self.replicas} is not from 0 to 16")
        if not 64 * 1024 <= self.body_bytes <= 90 * MIB:
            raise ValueError(f"body_bytes: {self.body_bytes} is not from 64 kB to 90 MiB")


class OpenSearchSections(Protocol):
    """The sections of the configuration that this room reads."""

    @property
    def opensearch(self) -> OpenSearchSettings: ...

    @property
    def retention(self) -> RetentionSettings: ...
