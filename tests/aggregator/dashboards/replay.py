"""A panel asked twice: on OpenSearch as Dashboards would ask, and in Python over the records.

Both give the same form: a list of rows, each the names of its parts and its metrics.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.aggregator.dashboards.dql import is_match, parse, query_of, values_at

Json = dict[str, Any]
Row = tuple[tuple[str, ...], tuple[float, ...]]
HOUR_MS = 3_600_000


def split_aggs(aggs: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """Metrics and buckets of a visualisation, in their order."""
    metrics = [each for each in aggs if each["schema"] == "metric"]
    return metrics, [each for each in aggs if each["schema"] != "metric"]


def search_body(aggs: Sequence[Json], query: str, size: int | None = None) -> Json:
    """What Dashboards sends: one aggregation in the other, metrics in the innermost."""
    metrics, buckets = split_aggs(aggs)
    body: Json = {"size": 0, "track_total_hits": True, "query": query_of(parse(query))}
    level = body
    counts = {each["id"] for each in metrics if each["type"] == "count"}
    for each in buckets:
        level["aggs"] = {each["id"]: _bucket(each, counts, size)}
        _metrics(level["aggs"][each["id"]], metrics)
        level = level["aggs"][each["id"]]
    if not buckets:
        _metrics(level, metrics)
    return body


def _bucket(agg: Json, counts: set[str], size: int | None) -> Json:
    params = agg["params"]
    match agg["type"]:
        case "terms":
            order = "_count" if params["orderBy"] in counts else params["orderBy"]
            return {"terms": {"field": params["field"], "size": size or params["size"],
                              "order": {order: params["order"]}}}  # fmt: skip
        case "filters":
            return {"filters": {"filters": {
                each["label"]: query_of(parse(each["input"]["query"]))
                for each in params["filters"]
            }}}  # fmt: skip
        case "date_histogram":
            return {"date_histogram": {"field": params["field"], "fixed_interval": "1h",
                                       "min_doc_count": params["min_doc_count"]}}  # fmt: skip
    raise AssertionError(f"no such aggregation: {agg['type']}")


def _metrics(level: Json, metrics: Sequence[Json]) -> None:
    for each in metrics:
        if each["type"] != "count":
            level.setdefault("aggs", {})[each["id"]] = {
                each["type"]: {"field": each["params"]["field"]}
            }


def rows_of_answer(aggs: Sequence[Json], answer: Json) -> list[Row]:
    """The innermost parts of an answer."""
    metrics, buckets = split_aggs(aggs)
    whole = {"doc_count": answer["hits"]["total"]["value"], **answer.get("aggregations", {})}
    return [row for row in _rows(whole, metrics, buckets, ()) if row[1]]


def _rows(level: Json, metrics: Sequence[Json], buckets: Sequence[Json],
          names: tuple[str, ...]) -> Iterator[Row]:  # fmt: skip
    if not buckets:
        yield (
            names,
            tuple(
                level["doc_count"] if each["type"] == "count" else level[each["id"]]["value"] or 0
                for each in metrics
            ),
        )
        return
    found = level[buckets[0]["id"]]["buckets"]
    parts = found.items() if isinstance(found, dict) else [(b["key"], b) for b in found]
    for key, inner in parts:
        yield from _rows(inner, metrics, buckets[1:], (*names, str(key)))


def rows_of_records(aggs: Sequence[Json], query: str, records: Sequence[Json]) -> list[Row]:
    """The same, from the records; terms as if there were no size."""
    metrics, buckets = split_aggs(aggs)
    node = parse(query)
    kept = [each for each in records if is_match(node, each)]
    return list(_computed(kept, metrics, buckets, ()))


def _computed(records: Sequence[Json], metrics: Sequence[Json], buckets: Sequence[Json],
              names: tuple[str, ...]) -> Iterator[Row]:  # fmt: skip
    if not buckets:
        yield names, tuple(_metric(each, records) for each in metrics)
        return
    parts: dict[str, list[Json]] = {}
    agg = buckets[0]
    if agg["type"] == "filters":
        for each in agg["params"]["filters"]:
            node = parse(each["input"]["query"])
            parts[each["label"]] = [record for record in records if is_match(node, record)]
    else:
        for record in records:
            for value in set(values_at(record, agg["params"]["field"])):
                if agg["type"] == "date_histogram":
                    value = str(_ms(value) // HOUR_MS * HOUR_MS)
                parts.setdefault(value, []).append(record)
    for name, inner in parts.items():
        yield from _computed(inner, metrics, buckets[1:], (*names, name))


def _metric(agg: Json, records: Sequence[Json]) -> float:
    if agg["type"] == "count":
        return len(records)
    found = [
        value for record in records for value in set(values_at(record, agg["params"]["field"]))
    ]
    if agg["type"] == "cardinality":
        return len(set(found))
    assert agg["type"] == "max"
    return max((_ms(each) for each in found), default=0)


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
