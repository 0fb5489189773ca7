"""No secret gets into a batch, and nothing but secrets changes."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail_agent.capture.batching import Draft, Origin
from opentrail_agent.capture.mapping import Mapping
from opentrail_agent.capture.pieces import Block, Value, fragment_of
from opentrail_agent.capture.redact import Redactor
from opentrail_agent.capture.rules import HIDDEN, NAMES, rules_of
from opentrail_agent.capture.settings import MappingSettings, WatchSettings
from opentrail_agent.capture.spans import Finder, find_all, replace

from .events import line
from .rig import PowerCut, Rig, unpack

SHOWN = HIDDEN.decode()


def redactor(*names: str, paths: tuple[str, ...] = ()) -> Redactor:
    return Redactor("file:/a", names, paths)


def hidden(text: bytes, *names: str, paths: tuple[str, ...] = ()) -> bytes:
    """What becomes of one line; the quick way and the thorough one must agree."""
    rules = rules_of(names, paths)
    finder = Finder(rules)
    finder.find(text)  # From the second time on, keys are known.
    quick = replace(text, finder.find(text))
    thorough = replace(text, find_all(text, rules))
    assert quick == thorough
    return thorough


@pytest.mark.parametrize(
    "key",
    [
        *NAMES, "Password", "PASSWORD", "masterUserPassword", "session_token",
        "x-amz-security-token",
        "Set-Cookie", "client.secret", "AWS_SECRET_ACCESS_KEY", "private_key", "x-api-key",
        "kubectl.kubernetes.io/last-applied-configuration", r"pass\u0077ord", r"to\u006Ben",
        r"\u0050\u0041\u0053\u0053\u0057\u004f\u0052\u0044",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'"hunter2"', b'"%s"'), (b'"a\\"b\\\\"', b'"%s"'), (b'""', b'"%s"'),
        (b"123.5e+7", b'"%s"'),
        (b"true", b'"%s"'), (b'{"a":["}",{"b":"]"}],"c":1}', b'"%s"'), (b'["a",["\\""]]', b'"%s"'),
        (b'"\xc3\xa9\\ud83d\\ude00"', b'"%s"'), (b"null", b"null"),
        (b'"' + b"x" * 90000 + b'"', b'"%s"'),
    ],
)  # fmt: skip
def test_the_value_of_a_named_key_is_hidden_whatever_it_is(
    key: str, value: bytes, shown: bytes
) -> None:
    frame = b'{"a" : 1.50, "b":{"%s" :  %s , "c":[2]},"d":"x"}'
    text = frame % (key.encode(), value)
    expected = frame % (key.encode(), shown.replace(b"%s", HIDDEN))
    assert hidden(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b'{"secretId":"a","tokenType":"b","passwordLastUsed":"c","cookies2":1,"nextToken":"d"}',
        b'{"eventName":"GetSessionToken","x":"secret","y":["password","token"]}',
        b'{"eventSource":"secretsmanager.amazonaws.com","privateIpAddress":"10.0.0.1"}',
        b'{"a":"the \\"password\\" was wrong","b":"{\\"a\\":1}","c":"\\u003csecret\\u003e"}',
        b'{"data":{"password2":"x"},"kind":"ConfigMap","name":"password"}',
    ],
)
def test_what_no_rule_means_stays(text: bytes) -> None:
    assert hidden(text) == text


def test_every_copy_of_a_repeated_key_is_hidden() -> None:
    text = b'{"token":"one","token":"two","Token":3}'
    assert hidden(text) == b'{"token":"%s","token":"%s","Token":"%s"}' % ((HIDDEN,) * 3)


def test_hiding_twice_is_hiding_once() -> None:
    once = hidden(b'{"token":{"a":1},"password":"x","b":"{\\"secret\\":1}"}')
    assert hidden(once) == once


REF = {"resource": "secrets"}
SECRET = {"apiVersion": "v1", "data": {"a": "c2VjcmV0"}, "kind": "Secret", "stringData": {"b": "c"}}


@pytest.mark.parametrize(
    "thing",
    [
        SECRET, {"requestObject": SECRET, "verb": "create"},
        {"kind": "SecretList", "items": [{"data": {"a": "c2VjcmV0"}}, {"stringData": {"b": "c"}}]},
        {"objectRef": {"resource": "secrets"}, "requestObject": {"data": {"a": "c2VjcmV0"}}},
        {"requestObject": {"x": [{"data": {"a": "c2VjcmV0"}}]}, "objectRef": REF},
        {"objectRef": REF, "requestObject": [{"path": "/a", "value": "c2VjcmV0"}]},
        {"h": [{"name": "Authorization", "value": "c2VjcmV0"}, {"key": "Cookie", "values": ["c"]}]},
        {"a": "x\n-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n"},
        {"a": ["-----BEGIN PRIVATE KEY-----c2VjcmV0"]},
        {"body": json.dumps({"password": "c2VjcmV0", "b": [1, {"token": "c2VjcmV0"}]})},
        {"body": json.dumps(json.dumps(json.dumps({"password": "c2VjcmV0"})))},
        {"body": json.dumps({"a": json.dumps({"b": json.dumps(SECRET)})})},
        {"body": json.dumps({"password": "c2VjcmV0"})[:-1]},
        {"body": " \n" + json.dumps({"password": "c2VjcmV0"}, indent=1)},
        {"log": 'user said {"password": "c2VjcmV0"}'},
    ],
)  # fmt: skip
def test_secrets_known_by_what_is_around_them_are_hidden(thing: dict[str, Any]) -> None:
    for frame in (thing, {"outer": [thing]}, {"original": json.dumps(thing)}):
        text = json.dumps(frame).encode()
        result = hidden(text)
        assert b"c2VjcmV0" not in result
        assert b'"c"' not in result
        json.loads(result)


def test_nested_json_keeps_all_but_its_secrets() -> None:
    inner = {"user": 'a"\u00e9\\', "password": 'x"y', "n": {"token": [1, 2]}, "last": True}
    text = json.dumps({"body": json.dumps(inner)}).encode()
    shown = json.loads(json.loads(hidden(text))["body"])
    assert shown == inner | {"password": SHOWN, "n": {"token": SHOWN}}


def test_paths_and_further_names_are_hidden() -> None:
    text = b'{"a":{"b":[{"pin":1},{"pin":2}]},"b":{"pin":3},"user_pin_code":4,"c":{"x":{"pin":5}}}'
    assert hidden(text, "pinCode", paths=("a.b.pin", "c.*.pin")) == (
        b'{"a":{"b":[{"pin":"%s"},{"pin":"%s"}]},"b":{"pin":3},"user_pin_code":"%s",'
        b'"c":{"x":{"pin":"%s"}}}' % ((HIDDEN,) * 4)
    )


@pytest.mark.parametrize(
    "chosen",
    [
        {"redact_names": ["eventTime"]}, {"redact_names": ["ID"]}, {"redact_names": [""]},
        {"redact_paths": ["a..b"]}, {"redact_paths": ["a.*"]}, {"redact_paths": ["userIdentity"]},
    ],
)  # fmt: skip
def test_a_rule_that_would_take_the_record_itself_is_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hidden"):
        WatchSettings(path="/a", **chosen)


# Random JSON with secrets at random places.

MARK = "5ecret-"
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["a secret one", "token 1", "-----BEGIN", '{"a":', "x\\", "é\u2028"]),
)  # fmt: skip
KEYS = st.one_of(
    st.text(max_size=3), st.sampled_from(["data", "kind", "value", "name", "tokens", "x\\", '"'])
)
SECRET_KEYS = st.sampled_from([*NAMES, "user_password", "X-Auth-Token", "Set-Cookie", 'a"token'])
SECRETS = st.recursive(
    st.one_of(
        st.text(max_size=5).map(lambda text: MARK + text),
        st.text(max_size=5).map(lambda text: text + '"\\' + MARK),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.just(MARK + "k"), inner, max_size=1)
    ),
    max_leaves=3,
)


class Hide:
    """A value that is to be hidden."""

    def __init__(self, value: Any) -> None:
        self.value = value


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda plain, secret: plain | {key: Hide(value) for key, value in secret.items()},
        st.dictionaries(KEYS, inner, max_size=3), st.dictionaries(SECRET_KEYS, SECRETS, max_size=2),
    )  # fmt: skip


class Nested:
    """A value that is written as JSON within a string."""

    def __init__(self, value: Any) -> None:
        self.value = value


TREES = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=3), objects(inner)), max_leaves=20
)
RECORDS = objects(st.one_of(TREES, objects(TREES).map(Nested)))


def write(thing: Any, seed: random.Random, shown: bool) -> str:
    """`thing` as JSON in a random style; the same seed gives the same style."""
    blank = seed.choice(["", "", " ", "  "])
    ascii_ = seed.random() < 0.5
    match thing:
        case Hide():
            secret = write(thing.value, random.Random(seed.random()), shown)
            return f'"{SHOWN}"' if shown else secret
        case Nested():
            return json.dumps(write(thing.value, seed, shown), ensure_ascii=ascii_)
        case dict():
            members = [
                f"{json.dumps(key, ensure_ascii=ascii_)}{blank}:{blank}{write(value, seed, shown)}"
                for key, value in thing.items()
            ]
            return "{" + blank + f"{blank},".join(members) + "}"
        case list():
            return "[" + f",{blank}".join(write(each, seed, shown) for each in thing) + blank + "]"
    return json.dumps(thing, ensure_ascii=ascii_)


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=3), st.integers(0, 1 << 32))
def test_no_secret_survives_and_every_other_byte_does(things: list[Any], seed: int) -> None:
    texts = [write(each, random.Random(seed), False).encode() for each in things]
    expected = [write(each, random.Random(seed), True).encode() for each in things]
    for text, one in zip(texts, expected, strict=True):
        assert hidden(text) == one
        assert MARK.encode() not in one
    block = b"\n".join(texts) + b"\n"
    assert redactor().block(block) == b"\n".join(expected) + b"\n"


# What is no JSON.


def refused(head: bytes, *before: bytes, names: tuple[str, ...] = ()) -> bytes:
    mine = redactor(*names)
    for each in before:
        mine.refusal(fragment_of(0, each, "not_json"))
    return mine.refusal(fragment_of(0, head, "not_json")).head


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        (b'{"a":"b","password":"hun', b'{"a":"b","password":%s'),
        (b'{"a":"b","password":"hun\nter2"}', b'{"a":"b","password":%s'),
        (b'{"password":"hunter2","a":"b', b'{"password":"%s","a":"b'),
        (b'{"a":"x,"password":"hunter2"}', b'{"a":"x,"password":"%s"}'),
        (b'{"token":123', b'{"token":%s'),
        (b'{"token":12,"a', b'{"token":"%s","a'),
        (b'{"secret":{"a":"b"},"c":1', b'{"secret":%s'),
        (b'{"a":1,"pass\\u0077ord":"hunter2"', b'{"a":1,"pass%s'),
        (b'{"body":"{\\"password\\":\\"hunter2\\"}"', b'{"body":"{\\"password\\":%s'),
        (b"Authorization: Bearer abc", b"Authorization: %s"),
        (b"user=a password = hunter2", b"user=a password = %s"),
        (b'ter2","a":"b"}', b'%s","a":"b"}'),
        (b'word": "hunter2","a":"b"}', b'%s": "%s","a":"b"}'),
        (b'word": "hunter', b'%s": %s'),
        (b"p\0a\0s\0s\0w\0o\0r\0d\0:\0x\0", b"%s"),
        (b"-----BEGIN EC PRIVATE KEY-----\nMHc", b"%s"),
        (b'{"kind":"x","objectRef":{"resource":"secrets"},"data":{"a":"b', None),
        (b'{"headers":[{"name":"Cookie","value":"a=b"},', None),
    ],
)  # fmt: skip
def test_of_a_torn_value_nothing_shows(head: bytes, shown: bytes | None) -> None:
    result = refused(head)
    if shown is None:
        assert HIDDEN in result
        assert b'"b' not in result
        assert b"a=b" not in result
    else:
        assert result == shown.replace(b"%s", HIDDEN)


def test_plain_text_without_secrets_stays() -> None:
    for head in (b"Failed password for ann from 10.0.0.1", b"# Title", b'level="info" msg="x"'):
        assert refused(head) == head


def test_the_rest_of_a_torn_secret_is_hidden_too() -> None:
    assert refused(b"ter2", b'{"password":"hun') == HIDDEN
    assert refused(b'ter2","a":1}', b'{"password":"hun', b"x") == HIDDEN + b'","a":1}'


@given(st.integers(0, 400), st.integers(0, 400))
def test_no_cut_through_a_record_shows_its_secret(begin: int, length: int) -> None:
    secret = "h0nter2-" * 4
    text = json.dumps({"a": [1, "b"], "password": secret, "c": {"token": [secret]}, "d": "e"})
    head = text.encode()[begin : begin + length]
    key = text.index('"password"')
    if begin > key + 11 and begin < text.index('"c"'):
        return  # Begins within the secret: only what came before can tell.
    if begin >= text.index('"token"') + 8:
        return
    assert b"nter2" not in refused(head)


def test_a_refusal_of_secrets_bears_no_hash_of_them() -> None:
    fragment = fragment_of(7, b'{"password":"hunter2"', "not_json", "torn")
    shown = redactor().refusal(fragment)
    assert shown.sha256 != fragment.sha256
    assert (shown.offset, shown.length, shown.reason) == (7, fragment.length, "not_json")
    assert shown.detail.startswith("torn; 1 values hidden")
    clean = fragment_of(7, b"{torn", "not_json")
    assert redactor().refusal(clean) is clean


def test_damaged_compressed_bytes_are_hidden_whole() -> None:
    assert redactor().refusal(fragment_of(0, b"\x1f\x8b123", "damaged")).head == HIDDEN


# In a batch.


def draft_of(origin: Origin, *pieces: Any) -> Any:
    draft = Draft()
    for piece in pieces:
        draft.add(origin, piece)
    return draft.seal()


def value(text: bytes, offset: int = 0) -> Value:
    return Value(offset, text, offset + len(text))


def test_the_derived_id_does_not_depend_on_the_rules() -> None:
    text = line(1, eventID=None, requestParameters={"password": "hunter2"})
    ids = set()
    for each in (None, redactor(), redactor("key")):
        batch = draft_of(Origin("file:/a", "g", redactor=each), value(text))
        ids |= {event.id for event in unpack(batch.payload).events}
    assert len(ids) == 1


def test_a_natural_key_is_taken_before_redaction() -> None:
    mapping = MappingSettings(
        fields={"eventTime": "at", "requestParameters.p": "token"}, key=["token"]
    )
    ids, lines = set(), []
    for each in (None, redactor()):
        apply = Mapping(mapping, "file:/a")
        origin = Origin("file:/a", "g", "follow", "111122223333", "eu-west-1", apply, each)
        text = b'{"at":"2026-11-24T10:00:00Z","token":"hunter2", "n":1.0}'
        batch = draft_of(origin, value(text))
        event = unpack(batch.payload).events[0]
        ids.add(event.id)
        lines.append(event.line)
    assert len(ids) == 1
    assert b"hunter2" in lines[0]
    assert lines[1] == lines[0].replace(b"hunter2", HIDDEN)
    assert batch.redacted == {"token": 1}


def test_refused_records_show_no_secret_in_head_or_detail() -> None:
    origin = Origin("file:/a", "g", redactor=redactor())
    pieces = [
        value(line(1, eventTime={"password": "hunter2"})),
        value(line(2, eventTime=None, big="x" * 70_000, token="hunter2")),
        value(b'{"token":"hunter2",}'),
        fragment_of(0, b'{"token":"hunter', "not_json"),
        fragment_of(0, b'{"a":"' + b"x" * 65_510 + b'","token":"hunter2"}', "too_large"),
    ]
    batch = draft_of(origin, *pieces)
    items = unpack(batch.payload).refused
    assert [item.reason for item in items] == [
        "no_event_time", "no_event_time", "not_json", "not_json", "too_large"
    ]  # fmt: skip
    for item in items:
        assert b"hunter" not in item.head
        assert "hunter" not in item.detail
    assert sum(batch.redacted.values()) == 5


def test_a_record_that_grows_too_large_is_refused() -> None:
    many = b",".join([b'"token":1'] * 36_000)
    text = line(1)[:-1] + b"," + many + b"}"
    assert len(text) < 1 << 20
    mine = redactor()
    assert not mine.fits(text + b"\n")
    origin = Origin("file:/a", "g", redactor=mine)
    item = unpack(draft_of(origin, value(text)).payload).refused[0]
    assert item.reason == "too_large"
    assert len(item.head) == 64 * 1024


def test_blocks_are_redacted_and_counted() -> None:
    block = b"".join(line(number, token=f"hunter{number}") + b"\n" for number in range(3))
    mine = redactor()
    assert mine.fits(block)
    origin = Origin("file:/a", "g", redactor=mine)
    batch = draft_of(origin, Block(0, block, 3, len(block)))
    assert all(b"hunter" not in event.line for event in unpack(batch.payload).events)
    assert batch.redacted == {"token": 3}


# From a file to the spool.


def watch(path: Path, **settings: Any) -> WatchSettings:
    return WatchSettings(path=str(path), **settings)


def test_redaction_is_on_for_mapped_sources_only_unless_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(line(1, token="hunter2") + b"\n")
    mapping = MappingSettings(
        fields={"eventTime": "eventTime", "recipientAccountId": "recipientAccountId",
                "awsRegion": "awsRegion"}
    )  # fmt: skip
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, False),
        ({"redact": "on"}, True),
        ({"kind": "mapped", "mapping": mapping}, True),
        ({"kind": "mapped", "mapping": mapping, "redact": "off"}, False),
    ]
    for number, (chosen, is_hidden) in enumerate(cases):
        rig = Rig(tmp_path / str(number), watch(path, **chosen))
        rig.settle()
        (event,) = rig.events
        assert (b"hunter2" not in event.line) == is_hidden
        assert rig.metrics.value("opentrail_agent_redacted_total", rule="token") == is_hidden


@pytest.mark.parametrize(
    ("point", "layout"),
    [
        ("agent.read", "lines"), ("agent.sealed", "lines"), ("agent.spooled", "lines"),
        ("agent.sealed", "records"), ("agent.spooled", "pretty"),
    ],
)  # fmt: skip
def test_positions_are_of_the_source_not_of_what_is_left(
    tmp_path: Path, point: str, layout: str
) -> None:
    path = tmp_path / "a.json"
    records = [
        json.loads(
            line(
                number,
                eventID=None if number % 2 else f"{number:032}",
                token="x" * 900,
                fill="y" * 900,
            )
        )
        for number in range(1600)
    ]
    if layout == "lines":
        data = "".join(json.dumps(each) + "\n" for each in records)
    else:
        data = json.dumps({"Records": records}, indent=1 if layout == "pretty" else None)
    path.write_text(data)
    plain = Rig(tmp_path / "plain", str(path))
    plain.settle()
    rig = Rig(tmp_path / "hidden", watch(path, redact="on"))
    rig.cut_at, rig.cut_after = point, 2
    with pytest.raises(PowerCut):
        rig.settle()
    rig.crash()
    rig.settle()
    assert rig.refused == []
    lines = {event.id: event.line for event in rig.events}
    assert len(lines) == 1600
    assert all(json.loads(each)["token"] == SHOWN for each in lines.values())
    named = {event.id: event.line for event in plain.events if event.id.isdigit()}
    for event_id, whole in named.items():
        assert lines[event_id] == whole.replace(b"x" * 900, HIDDEN)


def test_a_torn_line_in_a_followed_file_shows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    torn = (
        b'{"eventTime":"2026-11-24T10:00:00Z","password":"hunter2-a\nhunter2-b","x":1}\nhunter=x\n'
    )
    path.write_bytes(line(1) + b"\n" + torn + line(2, token="hunter2") + b"\n")
    rig = Rig(tmp_path, watch(path, redact="on"))
    rig.settle()
    assert len(rig.events) == 2
    assert len(rig.refused) == 3
    assert not any(b"hunter2" in item.head for item in rig.refused)
    assert not any(b"hunter2" in event.line for event in rig.events)


def test_the_log_says_where_but_never_what(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "a.json"
    path.write_bytes(line(1, requestParameters={"a": [{"password": "hunter2"}]}) + b"\n")
    Rig(tmp_path, watch(path, redact="on")).settle()
    assert "requestparameters.a.password (password)" in caplog.text
    assert "hunter2" not in caplog.text
