"""The digest chains, as the bucket shows them: where the next window begins, and what is in none.

HOME/digest is lost with the disk, or comes from a backup that is older than the bucket. Either way
a chain goes on behind the newest digest that was delivered, so that the first digest of the new log
names its predecessor. What can be told from the bucket is taken for true here; whether its digests
are genuine says `verify`, with the public keys (HOME/keys/digest, in the backup).
"""

import hashlib
from collections.abc import Iterable, Iterator

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.manifest import ManifestSummary
from opentrail_aggregator.digest.document import METADATA_SIGNATURE, LogFile
from opentrail_aggregator.digest.inbox import ChainId, Delivered, Inbox
from opentrail_aggregator.digest.names import (
    FOLDER,
    DigestKey,
    read_digest_key,
    root_of,
    seconds_of,
    trail_names,
)
from opentrail_aggregator.digest.reading import read_digest
from opentrail_aggregator.digest.state import ChainFolder, ChainState, Head, Run
from opentrail_aggregator.home import Home

LOOK_BACK_SECONDS = 7200
"""Deliveries so long before the newest digest are looked at once more: they may have come late."""


def restore_chains(
    home: Home,
    destination: Destination,
    root: str,
    trails: Iterable[str],
    files: Files = DISK,
) -> Iterator[str]:
    """Write the state of each chain in the bucket that is further than HOME/digest; yields keys.

    `root` is what all keys of this archive begin with, `trails` are the ARNs of its manifests.
    """
    names = {trail_names(arn): arn for arn in trails}
    folder = ChainFolder(home.digest, files)
    known = {(each.chain, each.backfill): each for each in folder.read_all()}
    found: dict[tuple[ChainId, bool], ChainState] = {}
    for each in destination.list(root):
        parts = read_digest_key(each.key) if f"/{FOLDER}/" in each.key else None
        arn = names.get((parts.trail, parts.home_region)) if parts is not None else None
        if parts is None or arn is None:
            continue
        yield each.key
        name = (ChainId(arn, parts.account, parts.region), parts.backfill)
        if name not in found:
            found[name] = _state(name[0], parts, destination.bucket)
        try:
            _add(found[name], each.key, destination)
        except DamagedError:
            continue  # `verify` names it; the chain goes on behind the next one.
    for name, state in found.items():
        before = known.get(name)
        if state.head is not None and (
            before is None or before.head is None or before.head.end_s < state.head.end_s
        ):
            folder.save(state)


def note_undigested(
    home: Home, catalog: Catalog, manifests: Iterable[str], files: Files = DISK
) -> int:
    """Put into the inbox what was delivered and may be in no digest; how many deliveries."""
    chains = {each.chain: each for each in ChainFolder(home.digest, files).read_all()
              if not each.backfill}  # fmt: skip
    inbox = Inbox(home.digest / "inbox", files)
    number = 0
    for key in manifests:
        summary = catalog.summary(key)
        if summary.log_file_validation is False:
            continue  # No digest is to list it.
        chain = chains.get(ChainId(summary.trail, summary.account, summary.region))
        end_s = chain.head.end_s if chain is not None and chain.head is not None else 0
        if summary.cut.delivered_at_ns // 1_000_000_000 >= end_s - LOOK_BACK_SECONDS:
            inbox.put(_delivered(summary, catalog.destination.bucket))
            number += 1
    return number


def _state(chain: ChainId, parts: DigestKey, bucket: str) -> ChainState:
    return ChainState(
        trail=chain.trail, account=chain.account, region=chain.region, backfill=parts.backfill,
        root=parts.root, bucket=bucket, window_start_s=0, chained=True,
    )  # fmt: skip


def _add(state: ChainState, key: str, destination: Destination) -> None:
    """Go on to the digest under `key`, the next one in the order of keys and so of time."""
    digest, data = read_digest(destination, key)
    info = destination.head(key)
    start_s, end_s = seconds_of(digest.digestStartTime), seconds_of(digest.digestEndTime)
    signature = info.metadata.get(METADATA_SIGNATURE, "") if info is not None else ""
    if start_s is None or end_s is None or not signature:
        raise DamagedError(f"{key}: no window, or no signature beside it")
    if digest.is_starting or not state.runs:
        state.runs = [*state.runs, Run(first=key, last=key, digests=0, start_s=start_s,
                                       end_s=end_s)]  # fmt: skip
    run = state.runs[-1]
    run.last, run.end_s = key, end_s
    run.digests += 1
    state.head = Head(
        bucket=destination.bucket, key=key, sha256=hashlib.sha256(data).hexdigest(),
        signature=signature, end_s=end_s, entries=[],
    )  # fmt: skip
    state.window_start_s = end_s


def _delivered(summary: ManifestSummary, bucket: str) -> Delivered:
    return Delivered(
        name=f"{summary.log_id[:16]}-cut-{summary.sequence:012d}",
        trail=summary.trail,
        account=summary.account,
        region=summary.region,
        root=root_of(summary.objects[0].key),
        bucket=bucket,
        delivered_at_ns=summary.cut.delivered_at_ns,
        files=[
            LogFile(
                s3Bucket=bucket,
                s3Object=entry.key,
                hashValue=entry.sha256,
                newestEventTime=entry.newest_event_time,
                oldestEventTime=entry.oldest_event_time,
            )
            for entry in summary.objects
        ],
    )
