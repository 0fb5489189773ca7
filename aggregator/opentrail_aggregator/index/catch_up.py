"""Going on behind a hole in the log.

A full log releases what only the index still needs once the archive has it; the index then finds
the log beginning behind its own place. What lies between comes from the archive; what is in no
archive is counted as missing, never passed over in silence.
"""

from collections.abc import Iterator

from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.index.archived import ArchiveSource, indexable
from opentrail_aggregator.index.follower import Follower
from opentrail_aggregator.index.retention import day_of

_SLICE_EVENTS = 500


def kept_before(verdicts: VerdictReader, position: int) -> int:
    """How many events the verdicts had kept before log position `position`."""
    found = verdicts.read(position - 1, 1)
    if not found or found[0].position != position:
        last = verdicts.last()
        return last.kept_total if last is not None and last.position < position else 0
    return found[0].kept_total - sum(1 for _ in found[0].kept())


def catch_up(
    follower: Follower,
    first: int,
    verdicts: VerdictReader,
    archive: ArchiveSource | None,
    oldest_day: str,
) -> Iterator[int]:
    """Bring in what lies between the follower's place and log position `first`.

    Yields after each slice of work how many events came so far; afterwards the follower stands
    before `first`. Interrupted anywhere it is simply begun again.
    """
    follower.flush()
    follower.days.discard_all()
    before = follower.read_through
    expired = taken = present = 0
    if archive is not None:
        days: set[str] = set()
        for archived in archive.events(before << 16 | 0xFFFF, (first << 16) - 1):
            event = indexable(archived)
            if event is None:
                continue
            day = follower.day(event.time_s // 3600, oldest_day)
            if not day:
                expired += 1
            else:
                follower.days.gather(day, event)
                days.add(day_of(event.time_s))
                present += 1
            taken += 1
            if taken % _SLICE_EVENTS == 0:
                yield taken
        # Each day in one commit, with all of what came for it.
        for _ in follower.days.flush_days(days):
            yield taken
    kept = kept_before(verdicts, first)
    missing = max(0, kept - follower.kept_total - expired - present)
    follower.skip_to(first - 1, kept, expired, missing)
    follower.flush()
    yield taken
