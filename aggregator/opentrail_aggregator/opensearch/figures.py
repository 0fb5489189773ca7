"""What OpenSearch says of itself, counted by the server and in our own file of held events.

`indexed + earlier + held + expired + missing` is what the verdicts had kept through the cursor.
"""

from dataclasses import dataclass

from opentrail_aggregator.home import Home
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.held import held_entries
from opentrail_aggregator.opensearch.place import Place, read_place
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.wal.cursors import DIRECTORY, Cursors
from opentrail_aggregator.wal.disk_reader import open_reader

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """The index at one log position."""

    position: int
    kept_total: int
    days: dict[str, int]
    """Documents by event day that came through this log."""
    indexed: int
    expired: int
    missing: int
    earlier: int
    """Events that were there already by way of another log."""
    held: int
    """Refused in every form; in HOME/opensearch/held."""


def figures(home: Home, cluster: Cluster) -> Figures:
    """Count the documents of every day; refreshes, so that nothing sent is left out."""
    log_id = open_reader(home).log_id
    cursors = Cursors(home.log / DIRECTORY, log_id)
    place = read_place(cursors)
    for _ in range(_ATTEMPTS):
        cluster.refresh()
        counts = cluster.counts(log_id, place.position)
        after = read_place(cursors)
        if (after.expired, after.dropping) == (place.expired, place.dropping):
            return _told(home, log_id, place, counts)
        place = after
    raise SearchUnavailableError(
        f"OpenSearch: its days changed {_ATTEMPTS} times while they were counted; ask again"
    )


def _told(home: Home, log_id: str, place: Place, counts: dict[str, int]) -> Figures:
    days = {day: count for day, count in sorted(counts.items()) if day not in place.dropping}
    through = place.position << 16 | 0xFFFF
    held = sum(
        1
        for entry in held_entries(home.opensearch)
        if entry["log"] == log_id and entry["position"] <= through
    )
    return Figures(
        place.position, place.kept, days, sum(days.values()), place.expired, place.missing,
        place.earlier, held,
    )  # fmt: skip
