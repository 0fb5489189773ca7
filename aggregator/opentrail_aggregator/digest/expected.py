"""What the bucket should hold of each chain, as HOME/digest remembers it."""

from collections.abc import Iterator

from opentrail.files import DISK, Files
from opentrail_aggregator.digest.names import trail_names
from opentrail_aggregator.digest.state import ChainFolder, ChainState
from opentrail_aggregator.home import Home

ChainName = tuple[str, ...]
"""Region, trail, home region, and `backfill` or nothing: as a digest's key has them."""


class Expected:
    """The chains of one account, at one moment."""

    def __init__(self, chains: list[ChainState]) -> None:
        self._chains = chains

    def __iter__(self) -> Iterator[ChainState]:
        return iter(self._chains)

    def by_name(self) -> dict[ChainName, ChainState]:
        """Only those that have a digest, or one under way."""
        found: dict[ChainName, ChainState] = {}
        for chain in self._chains:
            if chain.head is None and chain.intent is None:
                continue
            name, home_region = trail_names(chain.trail)
            kind = "backfill" if chain.backfill else ""
            found[chain.region, name, home_region, kind] = chain
        return found


def read_expected(home: Home, files: Files = DISK, account: str = "") -> Expected:
    """Of `account`, or of all."""
    chains = ChainFolder(home.digest, files).read_all()
    return Expected([each for each in chains if not account or each.account == account])
