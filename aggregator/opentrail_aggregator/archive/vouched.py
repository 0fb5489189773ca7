"""Which manifests the home vouches for: those it remembers, and what they chain back to.

Nobody signs a manifest, so whoever can write to the bucket can add one. The newest of each trail is
remembered outside of it, and each names its predecessor with its checksum: what is reached that way
was written by this installation. What a manifest says in favour of an object counts only then.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from opentrail.files import DISK, Files
from opentrail_aggregator.archive.deliveries import DeliveryFolder
from opentrail_aggregator.archive.manifest import Previous
from opentrail_aggregator.archive.staging.store import read_current
from opentrail_aggregator.home import Home


class Head(NamedTuple):
    """A manifest that is remembered."""

    key: str
    sha256: str


class Link(NamedTuple):
    """A manifest as it was just read."""

    sha256: str
    previous: Previous | None


def remembered_heads(home: Home, files: Files = DISK) -> set[Head]:
    """Those under way, and the last ones that staging knows."""
    heads = {
        Head(each.manifest.key, each.manifest.sha256)
        for each in DeliveryFolder(home.staging, files).read_all()
    }
    current = read_current(home.staging, files)
    chains = current.state.get("chains", {}) if current else {}
    return heads | {Head(each["key"], each["sha256"]) for each in chains.values()}


def vouched_for(links: Mapping[str, Link], heads: Iterable[Head]) -> set[str]:
    """The keys in `links` that a head is, or goes back to by right checksums."""
    found: set[str] = set()
    for key, sha256 in heads:
        while key not in found and key in links and links[key].sha256 == sha256:
            found.add(key)
            previous = links[key].previous
            if previous is None:
                break
            key, sha256 = previous.key, previous.sha256
    return found
