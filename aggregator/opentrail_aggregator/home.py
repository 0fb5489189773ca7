"""Where the aggregator keeps what: one folder, one name for each store in it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one aggregator. Nothing here makes folders; their owners do."""

    path: Path

    @property
    def log(self) -> Path:
        """Segments, `durable`, cursors/, agents/: primary data."""
        return self.path / "log"

    @property
    def verdicts(self) -> Path:
        """One verdict for each frame of the log; can be made again from it."""
        return self.path / "verdicts"

    @property
    def ids(self) -> Path:
        """The id sets: primary data, kept as long as the archive."""
        return self.path / "ids"

    @property
    def quarantine(self) -> Path:
        """What could not be an event: primary data."""
        return self.path / "quarantine"

    @property
    def index(self) -> Path:
        """CURRENT and a folder per generation; can be made again from log or archive."""
        return self.path / "index"

    @property
    def opensearch(self) -> Path:
        """Events that OpenSearch refused in every form: primary data while they are there."""
        return self.path / "opensearch"

    @property
    def archive(self) -> Path:
        """BUCKET/KEY of the local archive: primary data."""
        return self.path / "archive"

    @property
    def archive_meta(self) -> Path:
        """Object metadata of the local archive, beside the buckets and not in them."""
        return self.path / "archive-meta"

    @property
    def digest(self) -> Path:
        """Heads of the digest chains and what waits for a digest: primary data."""
        return self.path / "digest"

    @property
    def keys(self) -> Path:
        """Access keys, and under digest/ the keys that sign digests: primary data, secret."""
        return self.path / "keys"

    @property
    def identity(self) -> Path:
        """Join tokens, enrolled agents, revoked serials: primary data."""
        return self.path / "identity"

    @property
    def channels(self) -> Path:
        """The channels of PutAuditEvents: primary data."""
        return self.path / "channels"

    @property
    def trails(self) -> Path:
        """Since when the trail is there: primary data."""
        return self.path / "trails"

    @property
    def staging(self) -> Path:
        """Events of parts that are not cut yet; can be made again from the log."""
        return self.path / "staging"

    @property
    def run(self) -> Path:
        """Sockets, locks, endpoint and status of living processes; worthless after a stop."""
        return self.path / "run"

    @property
    def pki(self) -> Path:
        """The development CA and certificates."""
        return self.path / "pki"

    @property
    def agent(self) -> Path:
        """The local agent's configuration, spool and state."""
        return self.path / "agent"

    @property
    def sample(self) -> Path:
        """What `--sample` writes and the local agent follows."""
        return self.path / "sample"

    @property
    def imports(self) -> Path:
        """State of imports, so that an interrupted one goes on."""
        return self.path / "imports"
