"""A new log and its stores that begin where an archive ends.

They look as if the log had begun at position 1 and released all through `first - 1`: the heads of
its segments count what the archive holds, a last verdict tells the sums, the id sets are whole
through there, and staging knows the last manifest of each chain. So every reader goes on by the
rules that it has for released positions; the index finds a hole and fills it from the archive.

    verdicts, staging, cursors, lineage  →  log     the log last: without it nothing has begun
"""

import secrets
from collections.abc import Mapping
from typing import Any

from opentrail.files import DISK, Files
from opentrail.segment.frame import Kind
from opentrail.segment.store import SegmentStore
from opentrail_aggregator.archive.cutter import ChainHead
from opentrail_aggregator.archive.staging.store import Staging
from opentrail_aggregator.consolidate.verdict import Verdict, encode_verdict
from opentrail_aggregator.home import Home
from opentrail_aggregator.wal.cursors import DIRECTORY, Cursors
from opentrail_aggregator.wal.lineage import Lineage, write_lineage
from opentrail_aggregator.wal.published import PublishedPosition

POSITIONS_APART_BITS = 28
"""A new log begins at the next multiple of 2^28 positions: frames of the old one that no manifest
knows of lie before it for certain (a log holds a few million at most)."""


def new_log_id() -> str:
    """As a store makes its own."""
    return secrets.token_hex(16)


def first_position_behind(last: int) -> int:
    """Where a log begins that follows one whose last known frame is `last`."""
    return ((last >> POSITIONS_APART_BITS) + 1 << POSITIONS_APART_BITS) + 1


def write_stores(
    home: Home,
    lineage: Lineage,
    chains: Mapping[str, ChainHead],
    quarantined: int,
    files: Files = DISK,
) -> None:
    """Everything but the id sets."""
    before, log_id = lineage.first_position - 1, lineage.log_id
    _write_verdict(home, log_id, before, lineage.kept, quarantined, files)
    Staging(home.staging, log_id, files).checkpoint(before, _archive_state(lineage, chains))
    cursors = Cursors(home.log / DIRECTORY, log_id, files)
    totals = [lineage.kept, 0, quarantined]
    cursors.commit("consolidate", before, {"released": before, "totals": totals})
    cursors.commit("archive", before, {"archived_through": before, "recoverable_through": before})
    write_lineage(home.log, lineage, files)
    SegmentStore.open(
        home.log,
        files,
        first_position=lineage.first_position,
        store_id=log_id,
        totals=(lineage.kept, quarantined),
    ).close()


def _write_verdict(
    home: Home, log_id: str, position: int, kept: int, quarantined: int, files: Files
) -> None:
    """The verdict of the position before the first tells the sums through there."""
    store = SegmentStore.open(home.verdicts, files, first_position=position, store_id=log_id)
    try:
        if store.next_position == position:
            verdict = Verdict(position, kept_total=kept, quarantined_total=quarantined)
            store.append(Kind.VERDICT, encode_verdict(verdict), now_ns=0)
            store.sync()
    finally:
        store.close()
    published = PublishedPosition(home.verdicts, writing=True)
    published.publish(position)
    published.close()


def _archive_state(lineage: Lineage, chains: Mapping[str, ChainHead]) -> dict[str, Any]:
    return {
        "kept_total": lineage.kept,
        "unselected": 0,
        "gathered_through": lineage.first_position - 1,
        "chains": {
            arn: {"sequence": head.sequence, "key": head.key, "sha256": head.sha256}
            for arn, head in chains.items()
        },
    }
