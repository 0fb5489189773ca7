"""Equal as JSON: only what no reader could tell apart by its values."""

import pytest

from opentrail_aggregator.consolidate.same import same_json

EQUAL = [
    (b'{"a":1,"b":2}', b'{ "b" : 2, "a" : 1 }'),
    (b'{"a":"A"}', b'{"a":"\\u0041"}'),
    (b'{"a":1.0}', b'{"a":1}'),
    (b'{"a":1e2}', b'{"a":100}'),
    (b'{"a":' + b"9" * 5000 + b"}", b'{"a": ' + b"9" * 5000 + b"}"),
    (b'{"a":"\\/"}', b'{"a":"/"}'),
]
DIFFERENT = [
    (b'{"a":1}', b'{"a":true}'),
    (b'{"a":1}', b'{"a":"1"}'),
    (b'{"a":null}', b"{}"),
    (b'{"a":[1,2]}', b'{"a":[2,1]}'),
    (b'{"a":1,"a":2}', b'{"a":2}'),
    (b'{"a":1,"a":2}', b'{"a":2,"a":1}'),
    (b'{"a":1.0000000000000001}', b'{"a":1}'),
    (b'{"a":123456789012345678901234}', b'{"a":123456789012345678901235}'),
    (b'{"a":["number","1"]}', b'{"a":1}'),
    (b'{"a":1e999999999}', b'{"a":1e999999998}'),
    (b"not json", b" not json"),
    (b"[" * 3000 + b"]" * 3000, b" " + b"[" * 3000 + b"]" * 3000),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_values_are_the_same(left: bytes, right: bytes) -> None:
    assert same_json(left, right)
    assert same_json(right, left)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_values_are_not(left: bytes, right: bytes) -> None:
    assert not same_json(left, right)
    assert not same_json(right, left)
