"""Questions answered by OpenSearch, with the answers the embedded index would give.

The order is the server's sort by time, id and account, and a page begins behind the place of the
last event (`search_after`), so no search stays open on the server between pages. Counts are exact:
what would be an estimate is an error.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError, UsageError
from opentrail_aggregator.opensearch.classify import Meaning, of_request
from opentrail_aggregator.opensearch.cluster import Cluster, search_path
from opentrail_aggregator.opensearch.compile import (
    LEAVES,
    TIME,
    VALUES_MAX,
    Query,
    compile_query,
    leaf_prefix,
    values_of,
)
from opentrail_aggregator.opensearch.wire import ConnectionLostError
from opentrail_aggregator.search.counting import countable_field, hour_name, rank
from opentrail_aggregator.search.cursor import binding_of, cursor_after, read_cursor
from opentrail_aggregator.search.engine import (
    EVERYWHERE,
    Buckets,
    Deadline,
    Hit,
    Page,
    Scope,
    Total,
)
from opentrail_aggregator.search.errors import SearchTimeoutError, SearchUnavailableError
from opentrail_aggregator.search.fields import find_field
from opentrail_aggregator.search.parser import parse
from opentrail_aggregator.search.settings import SearchSettings
from opentrail_aggregator.search.tree import Node, Term

_GET_MAX = 1_000
_REQUEST_EVENTS = 2_000
_ORDER: list[Query] = [
    {TIME: {"order": "desc", "unmapped_type": "long"}},
    {"opentrail.id": {"order": "asc", "unmapped_type": "keyword"}},
    {"opentrail.account": {"order": "asc", "unmapped_type": "keyword"}},
]


class _Own(msgspec.Struct):
    id: str
    time: int
    account: str
    region: str
    position: int = 0
    head: str = ""
    raw: str | None = None


class _Source(msgspec.Struct):
    opentrail: _Own


class _Hit(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(name="_source")


class _Total(msgspec.Struct, frozen=True):
    value: int
    relation: str


class _Hits(msgspec.Struct):
    hits: list[_Hit]
    total: _Total = _Total(0, "eq")


class _Shards(msgspec.Struct):
    failed: int = 0
    failures: list[Any] = []


class _Found(msgspec.Struct):
    hits: _Hits
    shards: _Shards = msgspec.field(name="_shards")
    timed_out: bool = False
    aggregations: dict[str, Any] = {}


_FOUND = msgspec.json.Decoder(_Found)
_SOURCE = msgspec.json.Decoder(_Source)


class OpenSearchEngine:
    """`search.engine.Engine` over the days in one cluster."""

    def __init__(self, cluster: Cluster, settings: SearchSettings, clock: Clock) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock

    def search(
        self,
        query: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Page:
        if not 1 <= limit <= self._settings.page_max_events:
            raise UsageError(
                f"a page of {limit} events: between 1 and {self._settings.page_max_events} "
                "(search.page_max_events); further ones come with the cursor"
            )
        node = parse(query)
        binding = binding_of(node, scope)
        now = self._now()
        after: list[Any] | None = None
        if cursor is not None:
            place = read_cursor(cursor, binding, start, end)
            start, end, now = place.start, place.end, place.now
            after = [place.time_s, place.event_id, place.account]
        compiled = self.compiled(node, scope, start, end, now)
        hits = self._take(compiled, limit + 1, after, self._deadline(deadline))
        if len(hits) > limit:
            following = cursor_after(hits[limit - 1], binding, now, start, end)
            return Page(hits[:limit], following.write())
        return Page(hits, None)

    def _take(
        self, query: Query, wanted: int, after: list[Any] | None, deadline: Deadline
    ) -> list[Hit]:
        hits: list[Hit] = []
        while len(hits) < wanted:
            size = min(wanted - len(hits), _REQUEST_EVENTS)
            body: Query = {"query": query, "sort": _ORDER, "size": size, "track_total_hits": False}
            if after is not None:
                body["search_after"] = after
            found = [_hit(bytes(each.source)) for each in self._ask(body, deadline).hits.hits]
            hits += found
            if len(found) < size:
                break
            last = found[-1]
            after = [last.time_s, last.event_id, last.account]
        return hits

    def count(
        self,
        query: str,
        by: str,
        *,
        start: int | None = None,
        end: int | None = None,
        top: int = 10,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Buckets:
        compiled = self.compiled(parse(query), scope, start, end)
        body: Query = {"query": compiled, "size": 0, "track_total_hits": True}
        if by in ("hour", "day"):
            width = 3600 if by == "hour" else 86400
            body["aggs"] = {
                "by": {"histogram": {"field": TIME, "interval": width, "min_doc_count": 1}}
            }
            found = self._ask(body, self._deadline(deadline))
            buckets = _buckets(found)
            named = [(hour_name(int(each["key"])), int(each["doc_count"])) for each in buckets]
            return Buckets(named, found.hits.total.value)
        field = countable_field(by)
        body["aggs"] = values_of(field.stored)
        found = self._ask(body, self._deadline(deadline))
        counts = Counter[str]()
        for name, part in found.aggregations.items():
            values = part.get("by", part)
            if values.get("sum_other_doc_count", 0):
                raise SearchUnavailableError(
                    f"more than {VALUES_MAX:,} different values of {by}: too many to count "
                    "exactly; ask for a shorter time or a narrower query"
                )
            before = len(leaf_prefix(field)) if name == LEAVES else 0
            for each in values.get("buckets", ()):
                counts[each["key"][before:]] += each["doc_count"]
        return rank(counts, found.hits.total.value, min(top, self._settings.buckets_max))

    def total(
        self,
        query: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 10_000,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Total:
        compiled = self.compiled(parse(query), scope, start, end)
        body = {"query": compiled, "size": 0, "track_total_hits": limit + 1}
        found = self._ask(body, self._deadline(deadline)).hits.total
        if found.value > limit:
            return Total(limit, exact=False)
        return Total(found.value, exact=True)

    def get(
        self, event_id: str, *, scope: Scope = EVERYWHERE, deadline: Deadline | None = None
    ) -> Sequence[Hit]:
        field = find_field("eventID")
        assert field is not None
        compiled = self.compiled(Term(field, event_id), scope)
        return self._take(compiled, _GET_MAX, None, self._deadline(deadline))

    def compiled(
        self, node: Node, scope: Scope, start: int | None = None, end: int | None = None,
        now: int | None = None,
    ) -> Query:  # fmt: skip
        """What the server is asked for `node`; dates are counted from `now`."""
        at = self._now() if now is None else now
        has_words = self._cluster.settings.free_text
        return compile_query(node, scope, at, start, end, has_words=has_words)

    def arrived(
        self, query: Query, log_id: str, after: int, through: int, limit: int, deadline: Deadline
    ) -> list[Hit]:
        """The first `limit` and one more behind event position `after`, in the log's order."""
        deadline.check()
        try:
            self._cluster.refresh()
        except OpenTrailError as error:
            raise SearchUnavailableError(str(error)) from error
        positions = {"range": {"opentrail.position": {"gt": after, "lte": through}}}
        body = {
            "query": {"bool": {"filter": [query, {"term": {"opentrail.log": log_id}}, positions]}},
            "sort": [{"opentrail.position": {"order": "asc", "unmapped_type": "long"}}],
            "size": min(limit + 1, 10_000),
            "track_total_hits": False,
        }
        return [_hit(bytes(each.source)) for each in self._ask(body, deadline).hits.hits]

    def close(self) -> None:
        self._cluster.wire.end()

    def _ask(self, body: Query, deadline: Deadline) -> _Found:
        deadline.check()
        try:
            answer = self._cluster.wire.ask(
                "POST", search_path(), orjson.dumps(body), timeout=self._settings.deadline_seconds
            )
        except ConnectionLostError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise SearchTimeoutError(
                    f"OpenSearch did not answer within {self._settings.deadline_seconds:g} s "
                    "(search.deadline_seconds); ask for a shorter time"
                ) from error
            raise SearchUnavailableError(str(error)) from error
        deadline.check()
        judgement = of_request(answer.status, answer.json())
        if judgement.meaning is not Meaning.DONE:
            raise SearchUnavailableError(f"OpenSearch could not answer: {judgement}")
        try:
            found = _FOUND.decode(answer.body)
        except msgspec.MsgspecError as error:
            raise SearchUnavailableError(f"OpenSearch's answer cannot be read: {error}") from error
        if found.shards.failed or found.timed_out:
            # Part of an answer would look like the whole of it.
            raise SearchUnavailableError(
                f"OpenSearch could not ask {found.shards.failed} shards: "
                f"{str(found.shards.failures)[:300]}; ask again"
            )
        return found

    def _now(self) -> int:
        return self._clock.now_ns() // 1_000_000_000

    def _deadline(self, deadline: Deadline | None) -> Deadline:
        return deadline or Deadline(self._clock, self._settings.deadline_seconds)


def _buckets(found: _Found) -> list[dict[str, Any]]:
    buckets: list[dict[str, Any]] = found.aggregations.get("by", {}).get("buckets", [])
    return buckets


def _hit(source: bytes) -> Hit:
    try:
        own = _SOURCE.decode(source).opentrail
    except msgspec.MsgspecError as error:
        raise SearchUnavailableError(
            f"OpenSearch: a document of {len(source)} bytes is not OpenTrail's: {error}"
        ) from error
    record = b"{" + source[int(own.head) :] if own.raw is None else own.raw.encode()
    return Hit(record, own.id, own.time, own.account, own.region, own.position)
