"""No record is refused by the index, and the strange ones are still found by what is plain in them.

Each trap of the engine that was measured is here, and that the engine still has it where we rely on
going around it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import tantivy
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail_aggregator.index.document import Event, document_of, fallback_of, id_numbers
from opentrail_aggregator.index.schema import create_or_open, is_panic, schema, words_analyzer
from opentrail_aggregator.index.shape import (
    DEPTH_MAX,
    LEAVES_MAX,
    VALUE_MAX_CHARACTERS,
    _ordinary,
    _unusual,
    _UnusualError,
    shape_of,
)
from opentrail_aggregator.search.tokens import TOKEN_MAX_BYTES, words_of
from tests.aggregator.index.store import DirectStore
from tests.aggregator.search.contract import NOW, record_at


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectStore]:
    made = DirectStore(tmp_path)
    yield made
    made.close()


def add(store: DirectStore, line: bytes, derived: str = "") -> None:
    store.add_lines([(line, derived, NOW - 10, "111122223333", "eu-west-1")])


def plain(**members: Any) -> bytes:
    return json.dumps(record_at(NOW - 10, "strange-1", **members)).encode()


def nested(depth: int) -> Any:
    value: Any = "the bottom"
    for _ in range(depth):
        value = {"a": value}
    return value


TAIL = json.dumps(
    {name: value for name, value in record_at(NOW - 10, "strange-1").items() if value is not None}
).encode()[1:]
HOSTILE = {
    "as deep as is admitted": plain(requestParameters=nested(900)),
    "deeper than the engine's JSON": plain(requestParameters=nested(127)),
    "deep lists": b'{"requestParameters":{"x":' + b"[" * 900 + b"]" * 900 + b"}," + TAIL,
    "half a surrogate": b'{"requestParameters":{"x":"\\ud800 half"},' + TAIL[:-1]
    + b',"additionalEventData":{"\\udfff":"y"}}',
    "a number beyond floats": b'{"additionalEventData":{"x":1e400,"y":-1e999},' + TAIL,
    "an integer beyond 64 bits": plain(additionalEventData={"x": 10**40}),
    "a term beyond 65,530 bytes": plain(requestParameters={"x": "y" * 70_000}),
    "a path beyond 65,530 bytes": plain(requestParameters={"k" * 70_000: "y"}),
    "a path of many levels": plain(requestParameters={"k" * 500: {"l" * 500: {"m" * 2000: 1}}}),
    "NUL in a key": plain(requestParameters={"a\0b": "nul"}),
    "NUL in a value": plain(requestParameters={"x": "a\0b"}),
    "NUL in an unknown member": plain(**{"own\0": {"a\0": "b\0"}}),
    "ten thousand keys": plain(requestParameters={f"k{i}": i for i in range(10_000)}),
    "a hundred thousand numbers": plain(requestParameters={"x": [1] * 100_000}),
    "every member of another type": json.dumps(
        {name: [1, {"x": None}] for name in record_at(0)}
        | {"eventID": "strange-1", "eventName": "RunInstances"}
    ).encode(),
    "members that are numbers": plain(eventSource=1.5, userIdentity=7, resources=True),
    "repeated keys": b'{"eventID":"other","requestParameters":{"x":1,"x":2},' + TAIL,
    "a bad address": plain(sourceIPAddress="fe80::1%eth0"),
    "an address of another type": plain(sourceIPAddress=["10.0.0.1"]),
    "a bad creation date": plain(
        userIdentity={"sessionContext": {"attributes": {"creationDate": "9999-99-99"}}}
    ),
    "empty names": plain(requestParameters={"": {"": ""}}, **{"": "x"}),
    "a bool for a number": plain(additionalEventData={"bytesTransferredOut": True}),
    "words without end": plain(userAgent="w" * 50_000),
    "no letters": plain(userAgent="\u200b\u202e\ufeff!!"),
}  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_record_is_indexed_and_found_by_its_ordinary_fields(
    store: DirectStore, line: bytes
) -> None:
    add(store, line)
    add(store, plain())
    for query in ("eventName:RunInstances", "eventID:strange-1", "opentrail.region:eu-west-1"):
        assert [hit.record for hit in store.engine.search(query).hits] == [line, plain()] or [
            hit.record for hit in store.engine.search(query).hits
        ] == [plain(), line], query
    assert store.days.counted.fallback == 0


def test_what_cannot_be_read_at_all_is_found_by_id_and_by_its_text(store: DirectStore) -> None:
    add(store, b'{"broken": "some words", ', derived="the-id")
    assert len(store.engine.get("the-id")) == 1
    assert store.engine.total("words").count == 1
    assert store.engine.total("opentrail.shape:raw").count == 1
    assert store.engine.total("opentrail.account:111122223333").count == 1


def test_what_was_changed_is_marked(store: DirectStore) -> None:
    for line in HOSTILE.values():
        add(store, line)
    counted = dict(store.engine.count("*", "opentrail.shape").buckets)
    assert set(counted) == {"cut", "deep", "wrapped", "replaced", "many"}
    assert store.engine.total("NOT _exists_:opentrail.shape").count > 5


def test_a_value_beyond_the_limit_is_found_by_its_beginning(store: DirectStore) -> None:
    value = "é" * (VALUE_MAX_CHARACTERS + 500)
    add(store, plain(requestParameters={"x": value}))
    for query in (f"requestParameters.x:{value}", "requestParameters.x:ééé*"):
        assert store.engine.total(query).count == 1
    # Exactly at the limit nothing is cut.
    add(store, plain(requestParameters={"x": value[:VALUE_MAX_CHARACTERS]}))
    assert store.engine.total("_exists_:opentrail.shape").count == 1


def test_what_lies_too_deep_is_found_as_text_of_its_object(store: DirectStore) -> None:
    add(store, plain(requestParameters=nested(DEPTH_MAX + 2)))
    path = ".".join(["requestParameters", *["a"] * DEPTH_MAX])
    assert store.engine.total(f'{path}:"{{\\"a\\":{{\\"a\\":\\"the bottom\\"}}}}"').count == 1
    assert store.engine.total('"the bottom"').count == 1
    add(store, plain(requestParameters=nested(DEPTH_MAX)))
    assert store.engine.total(f"{path}:the\\ bottom").count == 1


def test_a_number_is_compared_as_it_is_written(store: DirectStore) -> None:
    add(store, b'{"requestParameters":{"a":1.50,"b":1e3,"c":12345678901234567890123},' + TAIL)
    for query, found in (("a:1.50", 1), ("a:1.5", 0), ("b:1e3", 1), ("b:1000", 0),
                         ("c:12345678901234567890123", 1)):  # fmt: skip
        assert store.engine.total(f"requestParameters.{query}").count == found, query


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["eventName", "requestParameters", "resources", "own", "userIdentity"]),
        _JSON,
    )
)
def test_the_short_way_and_the_long_way_find_the_same(record: dict[str, Any]) -> None:
    line = json.dumps(record).encode()
    long = _unusual(line)
    try:
        short = _ordinary(line)
    except (_UnusualError, ValueError):
        return
    assert sorted(short.leaves) == sorted(long.leaves) or b"\\u0000" in line
    assert set(short.text) == set(long.text)
    assert long.marks <= {"replaced"}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_have_a_document(line: bytes) -> None:
    event = Event(line, "an-id", NOW, "111122223333", "eu-west-1", 1 << 16)
    document, _ = document_of(event, 0)
    assert json.loads(document)["t"] == NOW
    assert json.loads(fallback_of(event, 0))["w"]


def test_leaves_without_end_are_left_out_from_a_number_on() -> None:
    shape = shape_of(plain(requestParameters={"x": [1] * (LEAVES_MAX + 50)}))
    assert len(shape.leaves) == LEAVES_MAX
    assert "many" in shape.marks


@given(st.text(max_size=24), st.text(max_size=24))
def test_the_two_numbers_of_an_id_never_contradict_its_order(one: str, other: str) -> None:
    one, other = (each.encode("utf-8", "replace").decode() for each in (one, other))
    if one.encode() < other.encode():
        assert id_numbers(one) <= id_numbers(other)


@given(st.text(max_size=60))
def test_words_are_the_same_to_the_language_and_to_the_engine(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    plain_text = "".join(each for each in text if each.isascii() or each.isalpha())
    if all(each.lower() == each.lower().lower() for each in plain_text) and plain_text.isascii():
        assert words_analyzer().analyze(plain_text) == words_of(plain_text)


def test_words_up_to_the_limit_are_words(tmp_path: Path) -> None:
    assert words_analyzer().analyze("a" * (TOKEN_MAX_BYTES - 1)) == ["a" * (TOKEN_MAX_BYTES - 1)]
    assert words_analyzer().analyze("a" * TOKEN_MAX_BYTES) == []


def test_a_panic_of_the_engine_is_no_exception_and_is_known(tmp_path: Path) -> None:
    index = create_or_open(tmp_path)
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        index.searcher().search(tantivy.Query.all_query(), limit=0, order_by_field="t")
    assert not isinstance(raised.value, Exception)
    assert is_panic(raised.value)
    assert not is_panic(ValueError())


def test_the_engine_still_takes_terms_of_our_own_layout(tmp_path: Path) -> None:
    index = create_or_open(tmp_path)
    writer = index.writer(heap_size=15_000_000, num_threads=1)
    longest = "k\0" + "v" * 32_000
    writer.add_json(orjson.dumps({"t": 1, "k": ["a.b\0x\ny", longest]}).decode())
    writer.commit()
    index.reload()
    searcher = index.searcher()
    for query in (
        tantivy.Query.term_query(schema(), "k", "a.b\0x\ny"),
        tantivy.Query.regex_query(schema(), "k", r"(?s)a\x{2e}b\x00.*y"),
        tantivy.Query.term_query(schema(), "k", longest),
    ):
        assert len(searcher.search(query, 5).hits) == 1
    assert searcher.terms_with_prefix("k", "a.b\0") == [("a.b\0x\ny", 1)]
