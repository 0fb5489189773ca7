"""The aggregator's configuration: the settings of its rooms under one roof.

Each room describes its own section; what belongs to no room alone stands here. A file is optional:
every setting has a default and an environment variable (`archive.settle` is
OPENTRAIL_ARCHIVE_SETTLE).
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from opentrail.errors import ConfigError
from opentrail.logs import LoggingSettings
from opentrail.settings import describe_settings, load_settings
from opentrail_aggregator.api.settings import HttpSettings
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.cloudtrail.settings import CloudTrailSettings
from opentrail_aggregator.consolidate.settings import ConsolidateSettings
from opentrail_aggregator.digest.settings import DigestSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.identity.settings import IdentitySettings
from opentrail_aggregator.index.settings import IndexSettings, RetentionSettings
from opentrail_aggregator.ingest.settings import GrpcSettings, IngestSettings
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.quarantine.settings import QuarantineSettings
from opentrail_aggregator.search.settings import SearchSettings
from opentrail_aggregator.wal.settings import DiskSettings, LogSettings

DEFAULT_FILE = Path("/etc/opentrail/aggregator.yaml")
DEFAULT_HOME = Path("/var/lib/opentrail")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSettings:
    """Section `install`: who this installation is in its own history."""

    account: Annotated[str, "Twelve digits: the account that owns the trail `default`."] = (
        "000000000000"
    )
    home_region: Annotated[str, "The region where the trail `default` was made."] = "us-east-1"
    global_services: Annotated[
        tuple[str, ...],
        "Services beside iam, organizations, cloudfront, route53 and health whose events belong to "
        "the global region.",
    ] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9]{12}", self.account, re.ASCII):
            raise ValueError(
                f"account: {self.account!r} is not 12 digits; keep leading zeros quoted"
            )
        if not re.fullmatch(r"[a-z0-9-]{1,40}", self.home_region, re.ASCII):
            raise ValueError(
                f"home_region: {self.home_region!r} is no region; write it as us-east-1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorSettings:
    """Everything the aggregator can be told."""

    home: Annotated[Path, "The aggregator's folder: log, index, archive, certificates."] = (
        DEFAULT_HOME
    )
    install: InstallSettings = field(default_factory=InstallSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    grpc: GrpcSettings = field(default_factory=GrpcSettings)
    log: LogSettings = field(default_factory=LogSettings)
    disk: DiskSettings = field(default_factory=DiskSettings)
    consolidate: ConsolidateSettings = field(default_factory=ConsolidateSettings)
    quarantine: QuarantineSettings = field(default_factory=QuarantineSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    opensearch: OpenSearchSettings = field(default_factory=OpenSearchSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    digest: DigestSettings = field(default_factory=DigestSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    cloudtrail: CloudTrailSettings = field(default_factory=CloudTrailSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)

    def __post_init__(self) -> None:
        if "opensearch" in self.indexes and not self.opensearch.url:
            raise ValueError(
                f"index.engine: {self.index.engine} needs opensearch.url; write https://host:9200"
            )
        if self.search_engine == "opensearch" and "opensearch" not in self.indexes:
            raise ValueError(
                "search.engine: opensearch has no events while index.engine is embedded; set "
                "index.engine to opensearch or both"
            )
        if self.search_engine == "embedded" and "index" not in self.indexes:
            raise ValueError(
                "search.engine: embedded has no events while index.engine is opensearch; leave "
                "it auto, or set index.engine to both"
            )

    @property
    def indexes(self) -> tuple[str, ...]:
        """The roles that index, by `index.engine`; their cursors have the same names."""
        return {
            "embedded": ("index",),
            "opensearch": ("opensearch",),
            "both": ("index", "opensearch"),
        }[self.index.engine]

    @property
    def search_engine(self) -> str:
        """`embedded` or `opensearch`: who answers questions."""
        if self.search.engine != "auto":
            return self.search.engine
        return "embedded" if "index" in self.indexes else "opensearch"

    @property
    def place(self) -> Home:
        """The folder, with the names of what is in it."""
        return Home(self.home)


def load(path: Path | None, overrides: Mapping[str, str] | None = None) -> AggregatorSettings:
    """Settings from `path` (None: defaults), the environment and the command line's `overrides`.

    Raises ConfigError, also for an override that names no setting.
    """
    known = [doc.path for doc in describe_settings(AggregatorSettings)]
    for name in overrides or {}:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            raise ConfigError(f'--set: unknown key "{name}"{hint}')
    return _with_readers(load_settings(AggregatorSettings, path, overrides=overrides))


def _with_readers(settings: AggregatorSettings) -> AggregatorSettings:
    """The log waits for those indexes that there are."""
    readers: list[str] = []
    for name in settings.log.readers:
        wanted = settings.indexes if name in ("index", "opensearch") else (name,)
        readers += [each for each in wanted if each not in readers]
    return replace(settings, log=replace(settings.log, readers=tuple(readers)))
