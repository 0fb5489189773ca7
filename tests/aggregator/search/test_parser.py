"""Any text is either a tree or an error with its place and what to do; nothing else happens."""

import random
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opentrail_aggregator.search.dates import DateValue, parse_date, write_date
from opentrail_aggregator.search.errors import QueryError
from opentrail_aggregator.search.fields import LOOKUP_ATTRIBUTES, Field, find_field
from opentrail_aggregator.search.parser import DEPTH_MAX, TERMS_MAX, parse
from opentrail_aggregator.search.tree import (
    And,
    Everything,
    Exists,
    FieldPattern,
    Node,
    Not,
    Or,
    Range,
    Term,
    Text,
    TextPattern,
    Wild,
    canonical,
)
from tests.aggregator.search.contract import QUERIES


def field(name: str) -> Field:
    found = find_field(name)
    assert found is not None
    return found


NAME = field("eventName")
A, B, C = Text("a"), Text("b"), Text("c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", Everything()),
        (" \t\n", Everything()),
        ("*", Everything()),
        ("a b", And((A, B))),
        ("a AND b OR c", Or((And((A, B)), C))),
        ("a OR b AND c", Or((A, And((B, C))))),
        ("a OR b c", Or((A, And((B, C))))),
        ("(a OR b) c", And((Or((A, B)), C))),
        ("NOT a b", And((Not(A), B))),
        ("-a -b", And((Not(A), Not(B)))),
        ("+a", A),
        ("NOT (a b)", Not(And((A, B)))),
        ("not a", And((Text("not"), A))),
        ('"a b"', Text("a b")),
        ('"a \\" b"', Text('a " b')),
        ("eventName:x", Term(NAME, "x")),
        ("eventName:(x OR y*)", Or((Term(NAME, "x"), FieldPattern(NAME, ("y", Wild.ANY))))),
        ("eventName:(x -y)", And((Term(NAME, "x"), Not(Term(NAME, "y"))))),
        ('eventName:"x*"', Term(NAME, "x*")),
        ("eventName:x\\*", Term(NAME, "x*")),
        ("eventName:a**b", FieldPattern(NAME, ("a", Wild.ANY, "b"))),
        ("eventName:AND", Term(NAME, "AND")),
        ("eventName:-x", Term(NAME, "-x")),
        ("eventName:*", Exists(NAME)),
        ("_exists_:eventName", Exists(NAME)),
        ("GET*", TextPattern(("get", Wild.ANY))),
        ("arn:aws:iam::1:user/a", Text("arn:aws:iam::1:user/a")),
        ("2001:db8::1", Text("2001:db8::1")),
        ("::ffff:10.0.0.1", Text("::ffff:10.0.0.1")),
        ("2026-11-24T10:00:00Z", Text("2026-11-24T10:00:00Z")),
        ("https://example.com/a", Text("https://example.com/a")),
        ("/x", Text("/x")),
        ("ANDROID", Text("ANDROID")),
        ("requestParameters.a\\:b:x", Term(field("requestParameters.a:b"), "x")),
        (
            "sourceIPAddress:10.0.0.0/8",
            Range(field("sourceIPAddress"), "10.0.0.0", "10.255.255.255", True, True),
        ),
        (
            "eventTime:{now-2h TO now]",
            Range(
                field("eventTime"), DateValue(-7200, -7200, relative=True),
                DateValue(0, 0, relative=True), False, True,
            ),
        ),
    ],
)  # fmt: skip
def test_a_query_means(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "start", "says"),
    [
        ("a AND", 2, 'nothing after "AND"'),
        ("a OR OR b", 5, 'nothing before "OR"'),
        ("(a", 0, '"(" is never closed'),
        ("a (b (c", 5, '"(" is never closed'),
        ("a)", 1, '")" without'),
        ("()", 0, "nothing inside"),
        ('a "b', 2, "a quote is never closed"),
        ("a \\", 2, "a backslash with nothing behind it"),
        ("foo~", 3, "fuzzy"),
        ("foo^2", 3, "weights"),
        ('"a b"~3', 5, "fuzzy"),
        ("eventName:x~1", 11, "fuzzy"),
        ("a eventTime:[2h TO", 12, "a range reads [from TO to]"),
        ("eventTime:{2h now}", 10, "a range reads {from TO to}"),
        ("eventName:>5", 0, "compared as text"),
        ("userIdentity:x", 0, "is an object"),
        ("x eventname:y", 2, 'there is no field "eventname"'),
        ("eventTime:soon", 10, "is not a date"),
        ("eventTime:20*", 10, "a wildcard in a date"),
        ("sourceIPAddress:>x", 17, "is not an IP address"),
        ("additionalEventData.bytesTransferredIn:>1e999", 40, "is not a number"),
        ("eventID:?", 8, "leading wildcard"),
        ("requestID:*x", 10, "leading wildcard"),
        ("a *x", 2, "begins with a wildcard"),
        ("a/b*", 0, "more than one word"),
        ("a && b", 2, '"&&"'),
        ("!a", 0, '"!"'),
        ("a [b TO c]", 2, "a range without a field"),
        ("e(x)", 1, "inside a word"),
        ("a \ud800", 2, "surrogate"),
        ("w" * 256, 0, "a word of 256 bytes"),
    ],
)
def test_an_error_says_where_and_what(text: str, start: int, says: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse(text)
    error = raised.value
    assert says in error.message
    assert error.start == start
    assert error.hint
    assert error.exit_code == 2
    line, mark = error.pointer().split("\n")
    assert line == text
    assert mark.index("^") == start


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("eventname:x", "eventName"),
        ("userName:x", "userIdentity.userName"),
        ("sourceIpAddress:x", "sourceIPAddress"),
        ("useridentity.arn:x", "userIdentity.arn"),
        ("eventNam:x", "eventName"),
        ("region:x", "awsRegion"),
    ],
)
def test_an_unknown_field_is_answered_with_the_one_meant(text: str, meant: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse(text)
    assert f"did you mean {meant}?" in raised.value.hint


def test_depth_and_terms_are_limited_exactly() -> None:
    parse("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX)
    parse("NOT " * DEPTH_MAX + "a")
    parse(" ".join(["a"] * TERMS_MAX))
    for text in (
        "(" * (DEPTH_MAX + 1) + "a" + ")" * (DEPTH_MAX + 1),
        "NOT " * (DEPTH_MAX + 1) + "a",
        "-" * (DEPTH_MAX + 1) + "a",
        "(" * 200_000,
        " ".join(["a"] * (TERMS_MAX + 1)),
        "a OR " * 100_000,
    ):
        with pytest.raises(QueryError):
            parse(text)


@pytest.mark.parametrize("text", QUERIES, ids=lambda text: text[:40] or "empty")
def test_a_tree_written_down_is_read_as_the_same_tree(text: str) -> None:
    tree = parse(text)
    assert parse(canonical(tree)) == tree


_PIECES = [
    "a", "eventName", ":", "*", "?", '"', "\\", "(", ")", "[", "]", "{", "}", " ", "TO", "AND",
    "OR", "NOT", "-", "+", "~", "^", ">", "<", "=", "eventTime:", "sourceIPAddress:", "10.0.0.1",
    "now", "2h", "2026-11-24", "_exists_:", "requestParameters.", "é", "\n", "/", "|", "&", "!",
    "additionalEventData.bytesTransferredOut:", "5", "\0", "arn:aws:", "::1", "userIdentity.x:",
]  # fmt: skip


def outcome(text: str) -> tuple[Node | None, QueryError | None]:
    """What `parse` makes of it; anything but a tree or its own error is raised."""
    try:
        return parse(text), None
    except QueryError as error:
        return None, error


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=14).map("".join) | st.text(max_size=40))
@example("eventTime:[* TO *]")
@example('_exists_:"requestParameters.a b"')
def test_any_text_is_a_tree_that_can_be_written_or_an_error_with_its_place(text: str) -> None:
    tree, error = outcome(text)
    if error is not None:
        assert 0 <= error.start <= error.end <= len(text)
        assert error.message
        assert error.hint
        assert error.pointer()
    if tree is not None:
        assert parse(canonical(tree)) == tree
        assert 0 <= tree.start <= tree.end <= len(text)


@pytest.mark.slow
def test_fifty_thousand_random_strings_raise_nothing_else() -> None:
    chance = random.Random(1)
    alphabet = [*_PIECES, *string.printable]
    for _ in range(50_000):
        text = "".join(chance.choices(alphabet, k=chance.randrange(30)))
        tree, error = outcome(text)
        assert tree is not None or (error is not None and error.start <= len(text))


def test_every_lookup_attribute_is_a_field() -> None:
    for name, kept in LOOKUP_ATTRIBUTES.items():
        assert field(name).stored == kept


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1970-01-01", 0, 86_399),
        ("1970", 0, 365 * 86_400 - 1),
        ("1970-02", 31 * 86_400, 59 * 86_400 - 1),
        ("1970-12", 334 * 86_400, 365 * 86_400 - 1),
        ("1970-01-01T01", 3600, 7199),
        ("1970-01-01T01:02", 3720, 3779),
        ("1970-01-01T01:02:03", 3723, 3723),
        ("1970-01-01T01:02:03.999Z", 3723, 3723),
        ("1970-01-01T01:00+01:00", 0, 59),
        ("1970-01-01T00:30+0030", 0, 59),
        ("1969-12-31T23:00-01:00", 0, 59),
        ("1970-01-01T05+05:30", -1800, 1799),
        ("1970-01-01T23:59:60Z", 86_399, 86_399),
        ("2024-02-29", 1_709_164_800, 1_709_251_199),
    ],
)
def test_a_date_stands_for_its_span(text: str, first: int, last: int) -> None:
    value = parse_date(text)
    assert value is not None
    assert value.span(now=12345) == (first, last)
    assert parse_date(write_date(value)) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("now", 0), ("now-2h", -7200), ("now+1d", 86_400), ("2h", -7200), ("90m", -5400),
     ("1w", -604_800), ("30s", -30)],
)  # fmt: skip
def test_a_relative_date_counts_from_now(text: str, seconds: int) -> None:
    value = parse_date(text)
    assert value is not None
    assert value.span(now=1000) == (1000 + seconds, 1000 + seconds)
    assert parse_date(write_date(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "2026-02-30", "2026-1-1", "26-01-01", "now-", "now2h", "-2h",
     "+2h", "2y", "2026-01-01T25:00", "2026-01-01Z", "9999", "0000", "2026-01-01T10:00+15:00",
     "٢٠٢٦", "2h ", "2026-01-01T10:61"],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_date(text) is None
