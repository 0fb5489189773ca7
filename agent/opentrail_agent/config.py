"""The agent's configuration file, composed of the settings of its rooms."""

import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from opentrail.limits import AGENT_NAME_MAX_CHARACTERS
from opentrail.logs import LoggingSettings
from opentrail_agent.capture.settings import CaptureSettings
from opentrail_agent.s3.settings import S3SourceSettings
from opentrail_agent.ship.settings import ShipSettings
from opentrail_agent.spool.settings import SpoolSettings

DEFAULT_PATH = Path("/etc/opentrail/agent.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Everything an agent can be told."""

    name: Annotated[
        str, "The agent's name; its certificate has to carry the same. Default: the host's name."
    ] = field(default_factory=socket.gethostname)
    state: Annotated[Path, "Where the agent keeps its spool and its positions; a local disk."] = (
        Path("/var/lib/opentrail-agent")
    )
    account: Annotated[
        str, "Account of records that name none, where their source declares none (12 digits)."
    ] = ""
    region: Annotated[str, "Region of such records."] = ""
    capture: Annotated[CaptureSettings, "What is followed, and how."] = field(
        default_factory=CaptureSettings
    )
    s3: Annotated[list[S3SourceSettings], "Buckets of S3 that are followed."] = field(
        default_factory=list
    )
    spool: Annotated[SpoolSettings, "Where batches wait for the aggregator."] = field(
        default_factory=SpoolSettings
    )
    ship: Annotated[ShipSettings, "Where and how batches are sent."]
    logging: Annotated[LoggingSettings, "Log lines."] = field(default_factory=LoggingSettings)

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= AGENT_NAME_MAX_CHARACTERS:
            raise ValueError(f"name: between 1 and {AGENT_NAME_MAX_CHARACTERS} characters")
        if self.account and not (len(self.account) == 12 and self.account.isdigit()):
            raise ValueError(f"account: {self.account!r} is not 12 digits")

    @property
    def capture_with_defaults(self) -> CaptureSettings:
        """What is followed, each source with the account and region that stand in for it."""
        watch = [
            replace(each, account=each.account or self.account, region=each.region or self.region)
            for each in self.capture.watch
        ]
        return replace(self.capture, watch=watch)

    @property
    def s3_with_defaults(self) -> list[S3SourceSettings]:
        """Followed buckets, each with the account and region that stand in for it."""
        return [
            replace(each, account=each.account or self.account, region=each.region or self.region)
            for each in self.s3
        ]

    @property
    def spool_directory(self) -> Path:
        return self.spool.directory or self.state / "spool"

    @property
    def status_path(self) -> Path:
        return self.state / "status.json"
