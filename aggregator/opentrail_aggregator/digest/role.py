"""Archive and digester as one role: the digester speaks of what the archive has delivered."""

from collections.abc import Iterator

from opentrail_aggregator.archive.archiver import Archiver
from opentrail_aggregator.digest.digester import Beginning, Digester
from opentrail_aggregator.digest.inbox import ChainId


def beginnings_of(archiver: Archiver) -> Iterator[Beginning]:
    """Since when events wait for each chain; those of imports do not begin one."""
    for part in archiver.open_parts():
        key, trail = part.key, archiver.trails.by_arn(part.key.trail)
        if part.live_first_ns and trail.validates:
            chain = ChainId(key.trail, key.account, key.region)
            yield Beginning(chain, trail.bucket, trail.root, part.live_first_ns // 1_000_000_000)


class ArchiveWithDigests:
    """Steps both."""

    name = "archive"

    def __init__(self, archiver: Archiver, digester: Digester) -> None:
        self._archiver = archiver
        self._digester = digester

    def step(self) -> bool:
        """A little work of each; True if there may be more at once."""
        moved = self._archiver.step()
        return self._digester.step() or moved

    def close(self) -> None:
        """The archive first: what it delivers while it stops is noted."""
        self._archiver.close()
        self._digester.close()
