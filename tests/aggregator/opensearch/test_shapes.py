"""No event is refused for its shape: each of these was, by some mapping, on a real server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from opentrail_aggregator.opensearch.documents import BYTES, FALLBACK, NORMALISED
from tests.aggregator.opensearch.store import DirectStore, document
from tests.aggregator.search.contract import NOW, when
from tests.real.opensearch import OpenSearchNode

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(opensearch_node: OpenSearchNode) -> Iterator[DirectStore]:
    made = DirectStore(opensearch_node)
    yield made
    made.close()
    opensearch_node.clear()


def record(members: str) -> bytes:
    return f'{{"eventName":"N","eventTime":"{when(NOW)}",{members}}}'.encode()


def nested(depth: int) -> str:
    return '{"d":' * depth + "1" + "}" * depth


def of(**members: Any) -> str:
    return json.dumps(members)[1:-1]


MANY = {f"key-{index}": index for index in range(10_000)}
SHAPES = {
    "parameters a string": of(requestParameters="text"),
    "parameters a number": of(requestParameters=7),
    "parameters true": of(requestParameters=True),
    "parameters strings": of(requestParameters=["a", "b"]),
    "parameters mixed": of(requestParameters=[1, {"a": 1}, [2, {"b": 3}], None]),
    "parameters nothing": of(requestParameters=None, responseElements={}),
    "lists in lists": of(responseElements=[[{"a": 1}], [{"a": "x"}]]),
    "number, then text": of(requestParameters={"x": 1}),
    "text where a number was": of(requestParameters={"x": "later text"}),
    "object where text was": of(requestParameters={"x": {"y": "2026-01-01"}}),
    "identity a string": of(userIdentity="nobody"),
    "identity a list": of(userIdentity=[{"type": "a"}, "b"]),
    "identity strange": of(userIdentity={"userName": {"a": 1}, "arn": ["a", {"b": 1}], "": 3}),
    "issuer a string": of(userIdentity={"sessionContext": {"sessionIssuer": "me"}}),
    "resources a string": of(resources="arn:aws:s3:::b"),
    "resources mixed": of(resources=["a", {"ARN": "arn:aws:s3:::b"}, [1]]),
    "resources strange": of(resources=[{"ARN": {"a": 1}}, {"type": ["x"]}]),
    "name an object": of(eventName={"a": 1}),
    "name objects": of(eventName=[{"a": 1}, {"b": [2]}]),
    "40 kB in a keyword": of(userAgent="u" * 40_000),
    "40 kB of four bytes each": of(errorMessage="\U0001f600" * 40_000),
    "40 kB in parameters": of(requestParameters={"policy": "p" * 40_000}),
    "values at the edge of a column": of(
        requestParameters={
            f"v{n}": "\u6f22" * n for n in (2730, 2731, 6000, 6001, 8191, 8192, 10922)
        }
    ),
    "letters at the edge of a column": of(
        requestParameters={f"v{n}": "x" * n for n in (32_740, 32_765, 32_766, 32_767)}
    ),
    "a million bytes": of(errorMessage="some words " * 90_000),
    "date, then text": of(requestParameters={"t": "2026-01-01T00:00:00Z"}),
    "text where a date was": of(requestParameters={"t": "no date"}),
    "a fraction of nine digits": of(
        userIdentity={"sessionContext": {"attributes": {"creationDate": "2026-01-01T0:0:0.1Z"}}}
    ),
    "a name of 60,000": of(requestParameters={"k" * 60_000: 1}),
    "10,000 keys": of(requestParameters=MANY),
    "10,000 members": of(**MANY),
    "depth 25": f'"requestParameters":{nested(25)}',
    "depth 100": f'"requestParameters":{nested(100)}',
    "depth 700": f'"requestParameters":{nested(700)}',
    "depth 990": f'"requestParameters":{nested(990)}',
    "depth 700 elsewhere": f'"own":{nested(700)}',
    "depth 100 in lists": f'"responseElements":{"[" * 100}1{"]" * 100}',
    "dots and objects": '"requestParameters":{"a.b":1,"a":{"b":2},"q":1,"q.r":2}',
    "names of dots": '"requestParameters":{".":1,"..":2,"a..b":3,".a":4,"a.":5}',
    "empty names": '"requestParameters":{"":{"":1}}',
    "empty member": '"":1',
    "dotted member": '"x..y":1,"a.b":{"c":1}',
    "members of the server": '"_id":"mine","_source":{},"_index":"other"',
    "our own members": '"opentrail":{"id":"forged"},"@timestamp":"yesterday"',
    "NUL": '"requestParameters":{"a\\u0000b":"c\\u0000d"},"userAgent":"x\\u0000y"',
    "half a pair": '"requestParameters":{"\\ud800":"\\udfff"},"userAgent":"\\ud800"',
    "repeated keys": '"requestParameters":{"a":1,"a":2},"eventSource":"x","eventSource":"y"',
    "beyond 64 bits": '"requestParameters":{"n":123456789012345678901234567890},"readOnly":1e400',
    "fractions": '"requestParameters":{"n":1.50,"m":1E5,"z":-0.0}',
    "no numbers": of(additionalEventData={"bytesTransferredOut": "many"}),
    "huge number": '"additionalEventData":{"bytesTransferredOut":1e999}',
    "NaN as text": of(additionalEventData={"bytesTransferredIn": "NaN"}),
    "times of no date": of(userIdentity={"sessionContext": {"attributes": {"creationDate": "x"}}}),
    "an address of none": of(sourceIPAddress="1.2.3.4.5"),
    "an address with a zone": of(sourceIPAddress="fe80::1%eth0"),
    "an escaped slash": '"userAgent":"a\\/b","errorMessage":"\\u00e9"',
}


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_taken_found_and_given_back_byte_for_byte(store: DirectStore, name: str) -> None:
    line = record(SHAPES[name])
    event_id = f"shape-{list(SHAPES).index(name)}"
    batch = store.send([document(line, derived=event_id, event_id=event_id)])
    assert batch.held == []
    (hit,) = store.engine.get(event_id)
    assert hit.record == line
    assert store.engine.total(f"eventID:{event_id} opentrail.account:111122223333").count == 1


@pytest.mark.parametrize("second", ["1900-01-01", "1969-12-31", "2999-12-31", "9998-12-31"])
def test_an_event_of_any_year_lies_in_its_day(store: DirectStore, second: str) -> None:
    from datetime import UTC, datetime

    time_s = int(datetime.fromisoformat(f"{second}T12:00:00").replace(tzinfo=UTC).timestamp())
    line = f'{{"eventName":"N","eventTime":"{second}T12:00:00Z"}}'.encode()
    store.send([document(line, derived=second, event_id=second, time_s=time_s)])
    assert second in store.cluster.days()
    assert [hit.record for hit in store.engine.search(f"eventTime:{second}").hits] == [line]


def test_the_mapping_is_the_same_after_all_of_them(
    store: DirectStore, opensearch_node: OpenSearchNode
) -> None:
    def fields(value: Any) -> int:
        inner = value.get("properties", {}).values()
        return sum(fields(each) for each in inner) + len(inner)

    store.send(
        document(record(members), derived=name, event_id=f"again-{index}")
        for index, (name, members) in enumerate(SHAPES.items())
    )
    _, found = opensearch_node.ask("GET", "/opentrail-events-*/_mapping")
    sizes = {fields(each["mappings"]) for each in found.values()}
    assert len(sizes) == 1, "a field was added by an event"
    assert sizes.pop() < 120


@pytest.mark.parametrize(
    ("members", "form"),
    [
        (of(requestParameters={"a": 1}, userIdentity={"type": "Root"}, own={"b": [1]}), BYTES),
        ('"requestParameters":{"n":1.50}', BYTES),
        (of(requestParameters={"policy": "p" * 5_000}, userAgent="u" * 5_900), BYTES),
        (of(requestParameters="text"), NORMALISED),
        (f'"requestParameters":{nested(25)}', NORMALISED),
        ('"_id":"mine"', NORMALISED),
        ('"eventSource":"x","eventSource":"y"', FALLBACK),
        (of(userIdentity={"userName": {"a": 1}}), FALLBACK),
    ],
    ids=lambda each: each[:40],
)
def test_the_form_in_which_it_is_taken(store: DirectStore, members: str, form: str) -> None:
    line = record(members)
    event_id = f"form-{abs(hash(members))}"
    day, made = document(line, derived=event_id, event_id=event_id)
    store.send([(day, made)])
    assert made.form == form
    assert [hit.record for hit in store.engine.get(event_id)] == [line]


TIMED = f'"eventTime":"{when(NOW)}"'


@pytest.mark.parametrize(
    "members",
    [TIMED, TIMED + ',"_id":"x"', '"own":1', '"":1', TIMED + ',"eventSource":1,"eventSource":2'],
)
def test_every_form_has_the_time_that_dashboards_go_by(
    store: DirectStore, opensearch_node: OpenSearchNode, members: str
) -> None:
    event_id = f"timed-{abs(hash(members))}"
    line = f'{{"eventName":"N",{members}}}'.encode()
    store.send([document(line, derived=event_id, event_id=event_id)])
    found_by = [
        {"range": {"eventTime": {"gte": when(NOW), "lte": when(NOW)}}},
        {"term": {"opentrail.id": event_id}},
    ]
    body = {"query": {"bool": {"filter": found_by}}}
    _, found = opensearch_node.ask("POST", "/opentrail-events-*/_search", body)
    assert found["hits"]["total"]["value"] == 1
    assert [hit.record for hit in store.engine.get(event_id)] == [line]


def test_one_refused_event_takes_none_of_its_neighbours_with_it(store: DirectStore) -> None:
    lines = {f"near-{index}": of(requestParameters={"i": index}) for index in range(20)}
    lines["near-7"] = '"eventSource":"x","eventSource":"y"'
    lines["near-9"] = f'"requestParameters":{nested(700)}'
    batch = store.send(
        document(record(members), derived=name, event_id=name) for name, members in lines.items()
    )
    assert batch.held == []
    assert sorted(hit.event_id for hit in store.engine.search("eventID:near-*").hits) == sorted(
        lines
    )


def test_dashboards_and_detectors_find_fields_under_cloudtrails_names(
    store: DirectStore, opensearch_node: OpenSearchNode
) -> None:
    line = record(of(
        eventSource="s3.amazonaws.com", errorCode="AccessDenied", sourceIPAddress="192.0.2.1",
        userIdentity={"type": "IAMUser", "arn": "arn:aws:iam::1:user/a"}, readOnly=True,
        requestParameters={"bucketName": "dash", "acl": {"x": [{"y": "z"}]}},
        resources=[{"ARN": "arn:aws:s3:::dash", "type": "AWS::S3::Bucket"}],
    ))  # fmt: skip
    store.send([document(line, derived="dash", event_id="dash")])
    for field, value in {
        "eventSource": "s3.amazonaws.com", "errorCode": "AccessDenied", "readOnly": "true",
        "userIdentity.arn": "arn:aws:iam::1:user/a", "requestParameters.bucketName": "dash",
        "requestParameters.acl.x.y": "z", "resources.ARN": "arn:aws:s3:::dash",
        "eventTime": when(NOW), "opentrail.resources": "dash", "opentrail.address": "192.0.2.0/24",
    }.items():  # fmt: skip
        must = [{"term": {field: value}}, {"term": {"opentrail.id": "dash"}}]
        body = {"query": {"bool": {"must": must}}}
        _, found = opensearch_node.ask("POST", "/opentrail-events/_search", body)
        assert found["hits"]["total"]["value"] == 1, field
