"""Each panel and each query of the dashboards on a real OpenSearch, against the records themselves.

Dashboards itself cannot be had from a registry, so what it would ask is asked here in its place.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from opentrail_aggregator.dashboards.objects import saved_objects
from tests.aggregator.dashboards.dql import is_match, parse, query_of, values_at
from tests.aggregator.dashboards.records import HOME, day
from tests.aggregator.dashboards.replay import rows_of_answer, rows_of_records, search_body
from tests.aggregator.opensearch.store import DirectStore
from tests.aggregator.search.contract import stored
from tests.real.opensearch import OpenSearchNode

pytestmark = pytest.mark.slow
Json = dict[str, Any]
INDEX = "/opentrail-events-*/_search"
OBJECTS = saved_objects()
EVERYTHING = 10_000


def charts() -> list[Json]:
    states = [
        each for each in OBJECTS
        if each["type"] == "visualization" and json.loads(each["attributes"]["visState"])["aggs"]
    ]  # fmt: skip
    assert len(states) > 50
    return states


def query_strings() -> list[str]:
    """Every DQL string of every object, panels' and filters'."""
    found = {""}
    for each in OBJECTS:
        meta = each["attributes"].get("kibanaSavedObjectMeta", {})
        if meta:
            found.add(json.loads(meta["searchSourceJSON"])["query"]["query"])
        for agg in json.loads(each["attributes"].get("visState", '{"aggs":[]}'))["aggs"]:
            found |= {f["input"]["query"] for f in agg["params"].get("filters", ())}
    return sorted(found - {""})


@pytest.fixture(scope="module")
def records(opensearch_node: OpenSearchNode) -> Iterator[list[Json]]:
    store = DirectStore(opensearch_node)
    made = day()
    store.add([stored(each, account=each["recipientAccountId"]) for each in made])
    # What OpenTrail adds under its own name, and the index, are charted too.
    for each in made:
        at = each["eventTime"][:10].replace("-", ".")
        each["_index"] = f"opentrail-events-{at}"
        each["opentrail"] = {
            "account": each["recipientAccountId"], "id": each["eventID"], "form": "bytes",
        }  # fmt: skip
    yield made
    store.close()
    opensearch_node.clear()


@pytest.mark.parametrize("chart", charts(), ids=lambda each: each["id"])
def test_a_panel_shows_what_the_records_say(
    records: list[Json], opensearch_node: OpenSearchNode, chart: Json
) -> None:
    aggs = json.loads(chart["attributes"]["visState"])["aggs"]
    source = json.loads(chart["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    query = source["query"]["query"]
    body = search_body(aggs, query, size=EVERYTHING)
    status, answer = opensearch_node.ask("POST", INDEX, body)
    assert status == 200, answer
    assert answer["_shards"]["failed"] == 0
    wanted = sorted(rows_of_records(aggs, query, records))
    assert sorted(rows_of_answer(aggs, answer)) == wanted
    assert wanted, "the panel is empty"
    assert all(row[1][0] > 0 for row in wanted if len(row[0]) < 2), "a number or part is nothing"
    # With its own sizes it is a part of the same.
    _, answer = opensearch_node.ask("POST", INDEX, search_body(aggs, query))
    shown = {name for name, _ in rows_of_answer(aggs, answer)}
    assert shown
    assert shown <= {name for name, _ in wanted}


@pytest.mark.parametrize("query", query_strings())
def test_a_query_finds_what_it_says(
    records: list[Json], opensearch_node: OpenSearchNode, query: str
) -> None:
    node = parse(query)
    body = {"query": query_of(node), "size": EVERYTHING, "_source": ["eventID"]}
    status, answer = opensearch_node.ask("POST", INDEX, body)
    assert status == 200, answer
    found = {each["_source"]["eventID"] for each in answer["hits"]["hits"]}
    wanted = {each["eventID"] for each in records if is_match(node, each)}
    assert found == wanted
    assert 0 < len(wanted) < len(records), "it finds nothing, or does not choose"


def test_every_value_that_a_query_names_is_in_some_record(records: list[Json]) -> None:
    """A misspelled name in a list of names finds nothing, and nobody would miss it."""

    def parts(node: Any) -> Iterator[Any]:
        children = getattr(node, "children", None) or (
            [node.child] if hasattr(node, "child") else []
        )
        if not children and node is not None:
            yield node
        for each in children:
            yield from parts(each)

    alone = {each for query in query_strings() for each in parts(parse(query))}
    assert len(alone) > 60
    assert [each for each in alone if not any(is_match(each, r) for r in records)] == []


@pytest.mark.parametrize("control", range(4))
def test_what_the_controls_offer_is_there(
    records: list[Json], opensearch_node: OpenSearchNode, control: int
) -> None:
    (row, *_) = [each for each in OBJECTS if each["id"].endswith("-controls")]
    found = json.loads(row["attributes"]["visState"])["params"]["controls"][control]
    body = {"size": 0, "aggs": {"t": {"terms": {"field": found["fieldName"], "size": 100}}}}
    _, answer = opensearch_node.ask("POST", INDEX, body)
    offered = {each["key"] for each in answer["aggregations"]["t"]["buckets"]}
    assert offered == {v for each in records for v in values_at(each, found["fieldName"])}
    assert len(offered) > 1


def test_the_index_pattern_can_be_read(
    records: list[Json], opensearch_node: OpenSearchNode
) -> None:
    """Its time is a date and what the panels count by is a column, in all days alike."""
    _, found = opensearch_node.ask("GET", "/opentrail-events-*/_field_caps?fields=*")
    caps = found["fields"]
    assert list(caps["eventTime"]) == ["date"]
    assert {"conflict"} & {kind for each in caps.values() for kind in each} == set()
    charted = {
        agg["params"]["field"]
        for each in charts()
        for agg in json.loads(each["attributes"]["visState"])["aggs"]
        if "field" in agg["params"]
    }
    assert len(charted) > 12
    for name in charted:
        (cap,) = caps[name].values()
        assert cap["aggregatable"], name


def test_the_four_forms_of_dql_reach_into_free_members(
    records: list[Json], opensearch_node: OpenSearchNode
) -> None:
    """Quoted, bare, any and wildcard: none of them is listed as a field anywhere."""
    for query in (
        'responseElements.ConsoleLogin:"Failure"', "responseElements.ConsoleLogin:Failure",
        "responseElements.ConsoleLogin:*", "responseElements.ConsoleLogin:Fail*",
    ):  # fmt: skip
        test_a_query_finds_what_it_says(records, opensearch_node, query)
    assert any(each["recipientAccountId"] == HOME for each in records)
