"""What became searchable in OpenSearch since the last look, in the order of the log.

The cursor of the role says through which position every event is in; before looking the days are
refreshed, so that what is in can also be found.
"""

from opentrail.errors import OpenTrailError
from opentrail_aggregator.api.arrivals import Arrived
from opentrail_aggregator.home import Home
from opentrail_aggregator.opensearch.engine import OpenSearchEngine
from opentrail_aggregator.opensearch.place import read_place
from opentrail_aggregator.search.engine import Deadline, Scope
from opentrail_aggregator.search.errors import SearchUnavailableError
from opentrail_aggregator.search.parser import parse
from opentrail_aggregator.wal.cursors import DIRECTORY, Cursors
from opentrail_aggregator.wal.disk_reader import open_reader

_ORDINALS = 0xFFFF


class OpenSearchArrivals:
    """Arrivals in a cluster."""

    def __init__(self, home: Home, engine: OpenSearchEngine) -> None:
        self._home = home
        self._engine = engine

    def through(self) -> int:
        return self._through()[1]

    def _through(self) -> tuple[str, int]:
        try:
            log_id = open_reader(self._home).log_id
            place = read_place(Cursors(self._home.log / DIRECTORY, log_id))
        except (OpenTrailError, OSError) as error:
            raise SearchUnavailableError(f"{self._home.log}: no log yet: {error}") from error
        return log_id, place.position << 16 | _ORDINALS

    def since(
        self, query: str, after: int, limit: int, scope: Scope, deadline: Deadline
    ) -> Arrived:
        log_id, through = self._through()
        compiled = self._engine.compiled(parse(query), scope)
        if through <= after:
            return Arrived((), after)
        hits = self._engine.arrived(compiled, log_id, after, through, limit, deadline)
        if len(hits) <= limit:
            return Arrived(hits, through)
        return Arrived(hits[:limit], hits[limit - 1].position)
