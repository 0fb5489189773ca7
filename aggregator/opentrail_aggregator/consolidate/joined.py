"""Log frames together with their verdicts: what index and archive read.

Returns only positions that are durable in both stores. A frame that the log can no longer read is
left out of the pairs and handed to `damaged`; its verdict is still in the verdict store.
"""

from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING

from opentrail.segment.frame import RELEASED, Damage
from opentrail_aggregator.consolidate.verdict import Verdict, VerdictReader

if TYPE_CHECKING:
    from opentrail_aggregator.wal.log import LogEntry, LogReader


def read_joined(
    log: "LogReader",
    verdicts: VerdictReader,
    after: int,
    max_bytes: int = 8 << 20,
    damaged: Callable[[Damage], None] | None = None,
    *,
    stops_at_released: bool = False,
) -> "list[tuple[LogEntry, Verdict]]":
    """Pairs behind position `after`, in order, about `max_bytes` of log; empty if none is ready.

    When everything read was damaged, reading goes on behind it, so an empty list always means that
    there is nothing more for now.

    With `stops_at_released` positions that the log has let go end what is returned: who asks so
    looks where the log begins and gets them elsewhere.
    """
    through = verdicts.consolidated_position()
    while after < through:
        found = [each for each in log.read(after, max_bytes) if _last(each) <= through]
        if stops_at_released:
            found = list(takewhile(_is_not_released, found))
        if not found:
            return []
        pairs: list[tuple[LogEntry, Verdict]] = []
        wanted = [each for each in found if not isinstance(each, Damage)]
        for each in found:
            if isinstance(each, Damage) and damaged is not None:
                damaged(each)
        if wanted:
            by_position = _verdicts(verdicts, wanted[0].position - 1, wanted[-1].position)
            for entry in wanted:
                verdict = by_position.get(entry.position)
                if verdict is None:
                    return pairs  # A damaged verdict: stop before it, never pass by.
                pairs.append((entry, verdict))
            return pairs
        after = _last(found[-1])
    return []


def _is_not_released(entry: "LogEntry | Damage") -> bool:
    return not (isinstance(entry, Damage) and entry.reason == RELEASED)


def _last(entry: "LogEntry | Damage") -> int:
    return entry.last if isinstance(entry, Damage) else entry.position


def _verdicts(verdicts: VerdictReader, after: int, through: int) -> dict[int, Verdict]:
    found: dict[int, Verdict] = {}
    while after < through:
        batch = verdicts.read(after)
        if not batch:
            break
        found.update((verdict.position, verdict) for verdict in batch)
        after = batch[-1].position
    return found
