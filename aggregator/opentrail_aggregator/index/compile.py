"""From the tree of a query to what the index engine runs.

A keyword is the term "path NUL value" in one field, so a wildcard is a regular expression over it
and existence a prefix. Queries are built by the engine's API alone: user text never reaches its own
query parser, which a deep query crashes and which drops clauses in silence.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache

import tantivy

from opentrail_aggregator.index.document import HAS
from opentrail_aggregator.index.schema import schema, words_analyzer
from opentrail_aggregator.index.shape import SEPARATOR, VALUE_MAX_CHARACTERS
from opentrail_aggregator.search.dates import DateValue
from opentrail_aggregator.search.engine import Scope
from opentrail_aggregator.search.errors import QueryError
from opentrail_aggregator.search.fields import (
    ACCOUNT,
    CREATION_DATE,
    EVENT_TIME,
    NUMBERS,
    REGION,
    Field,
    Kind,
)
from opentrail_aggregator.search.tree import (
    And,
    Everything,
    Exists,
    FieldPattern,
    Node,
    Not,
    Or,
    Pattern,
    Range,
    Term,
    Text,
    TextPattern,
    Wild,
    canonical,
)

Query = tantivy.Query
_MUST, _MUST_NOT, _SHOULD = tantivy.Occur.Must, tantivy.Occur.MustNot, tantivy.Occur.Should
_INTEGER, _UNSIGNED = tantivy.FieldType.Integer, tantivy.FieldType.Unsigned
_ALWAYS = frozenset({EVENT_TIME.name, "eventID", ACCOUNT, REGION})
"""Every event has them, if need be from its window, its source or its folder."""
_SPECIAL = frozenset("\\.+*?()|[]{}^$#&-~<>@\"'/:=!,;% ")
_REGEX_FLAGS = "(?s)"  # A dot is any character, a line break too.
MOMENT_MAX = 1 << 62
_FLOAT_MAX = sys.float_info.max


def number_of_hits(searcher: tantivy.Searcher, query: tantivy.Query) -> int:
    """How many documents match."""
    found: int = searcher.search(query, 1, count=True).count  # type: ignore[attr-defined]
    return found


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query for the engine, and the seconds outside which nothing can match."""

    query: tantivy.Query
    is_everything: bool
    first: int
    last: int
    needed: tuple[str, ...] = ()
    """Terms that every match has: a day without one of them need not be asked."""


def compile_query(node: Node, scope: Scope, now: int) -> Compiled:
    """What the engine runs for `node` within `scope`, dates counted from `now`."""
    first, last = time_bounds(node, now)
    clauses = [(_MUST, each) for each in _scope_queries(scope)]
    if not isinstance(node, Everything):
        clauses.append((_MUST, _compile(node, now)))
    query = Query.boolean_query(clauses) if clauses else Query.all_query()
    return Compiled(query, not clauses, first, last, needed_terms(node))


def needed_terms(node: Node) -> tuple[str, ...]:
    """Terms that a match of `node` cannot be without, as far as it plainly says so."""
    if isinstance(node, Term):
        return (_leaf(node.field.stored, node.value),)
    if isinstance(node, And):
        return tuple(term for child in node.children for term in needed_terms(child))
    return ()


def time_bounds(node: Node, now: int) -> tuple[int, int]:
    """Seconds that every match of `node` lies between, as far as it plainly says so."""
    if isinstance(node, Range) and node.field.kind is Kind.DATE:
        if node.field.stored == EVENT_TIME.stored:
            return _seconds(node, now)
    elif isinstance(node, And):
        bounds = [time_bounds(child, now) for child in node.children]
        return max(low for low, _ in bounds), min(high for _, high in bounds)
    return -MOMENT_MAX, MOMENT_MAX


def all_of(query: tantivy.Query, *others: tantivy.Query) -> tantivy.Query:
    return Query.boolean_query([(_MUST, each) for each in (query, *others)])


def between(field: str, low: int | None, high: int | None) -> tantivy.Query:
    """Documents whose number lies from `low` through `high`."""
    kind = _INTEGER if field in ("t", "d") else _UNSIGNED
    return Query.range_query(schema(), field, kind, low, high)


def leaf_prefix(field: Field) -> str:
    """What the terms of a field's values begin with."""
    return f"{field.stored}{SEPARATOR}"


def _compile(node: Node, now: int) -> tantivy.Query:
    match node:
        case Everything():
            return Query.all_query()
        case Term(field=field, value=value):
            return _term(field.stored, value)
        case FieldPattern(field=field, pattern=pattern):
            return _regex("k", _escape(leaf_prefix(field)), pattern, node)
        case Exists(field=field):
            return _exists(field, node)
        case Text(text=text):
            return _text(text)
        case TextPattern(pattern=pattern):
            return _regex("w", "", pattern, node)
        case Range():
            return _range(node, now)
        case Not(child=child):
            return Query.boolean_query(
                [(_MUST, Query.all_query()), (_MUST_NOT, _compile(child, now))]
            )
        case Or(children=children):
            return Query.boolean_query([(_SHOULD, _compile(each, now)) for each in children])
        case And(children=children):
            return _and(children, now)


def _and(children: tuple[Node, ...], now: int) -> tantivy.Query:
    clauses = [
        (_MUST_NOT, _compile(each.child, now))
        if isinstance(each, Not)
        else (_MUST, _compile(each, now))
        for each in children
    ]
    if all(occur is _MUST_NOT for occur, _ in clauses):
        # Only exclusions match nothing, in silence: there must be something to exclude from.
        clauses.append((_MUST, Query.all_query()))
    return Query.boolean_query(clauses)


def _term(stored: str, value: str) -> tantivy.Query:
    return Query.term_query(schema(), "k", _leaf(stored, value))


def _leaf(stored: str, value: str) -> str:
    return f"{stored}{SEPARATOR}{value[:VALUE_MAX_CHARACTERS]}"


def _exists(field: Field, node: Node) -> tantivy.Query:
    if field.stored in _ALWAYS:
        return Query.all_query()
    if field.kind is Kind.TREE:
        return _term(HAS, field.stored)
    try:
        return _any_value(field.stored)
    except ValueError as error:
        raise _too_large(error, node) from None


@lru_cache(maxsize=512)
def _any_value(stored: str) -> tantivy.Query:
    """Making the automaton takes a millisecond, and every LookupEvents asks for the same one."""
    behind = r"[\.\x00]" if "." in stored else r"\x00"
    return Query.regex_query(schema(), "k", rf"{_REGEX_FLAGS}{_escape(stored)}{behind}.*")


def _text(text: str) -> tantivy.Query:
    words: list[str | tuple[int, str]] = [*words_analyzer().analyze(text)]
    if not words:
        return Query.empty_query()
    if len(words) == 1:
        return Query.term_query(schema(), "w", str(words[0]))
    return Query.phrase_query(schema(), "w", words)


def _regex(field: str, prefix: str, pattern: Pattern, node: Node) -> tantivy.Query:
    parts = [
        (".*" if part is Wild.ANY else ".") if isinstance(part, Wild) else _escape(part)
        for part in pattern
    ]
    return _made(prefix + "".join(parts), field, node)


def _made(regex: str, field: str, node: Node) -> tantivy.Query:
    try:
        return Query.regex_query(schema(), field, _REGEX_FLAGS + regex)
    except ValueError as error:
        raise _too_large(error, node) from None


def _too_large(error: ValueError, node: Node) -> QueryError:
    text = canonical(node)
    return QueryError(
        f"this pattern is too large to search with ({error})", text, 0, len(text),
        "use fewer wildcards or a shorter text",
    )  # fmt: skip


def _escape(text: str) -> str:
    return "".join(
        f"\\x{{{ord(each):x}}}" if each in _SPECIAL or ord(each) < 32 else each for each in text
    )


def _seconds(node: Range, now: int) -> tuple[int, int]:
    """First and last second that a range of dates takes in."""
    low, high = -MOMENT_MAX, MOMENT_MAX
    if isinstance(node.low, DateValue):
        first, last = node.low.span(now)
        low = first if node.include_low else last + 1
    if isinstance(node.high, DateValue):
        first, last = node.high.span(now)
        high = last if node.include_high else first - 1
    return low, high


def _range(node: Range, now: int) -> tantivy.Query:
    field = node.field
    if field.kind is Kind.DATE:
        low, high = _seconds(node, now)
        if low > high:
            return Query.empty_query()
        return between("d" if field.stored == CREATION_DATE else "t", low, high)
    if field.kind is Kind.ADDRESS:
        return Query.range_query(
            schema(), "a", tantivy.FieldType.IpAddr,
            "::" if node.low is None else str(node.low),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" if node.high is None else str(node.high),
            node.include_low, node.include_high,
        )  # fmt: skip
    # Both bounds are floats: the engine panics on one of each kind.
    return Query.range_query(
        schema(), f"n{NUMBERS.index(field.stored)}", tantivy.FieldType.Float,
        node.low if isinstance(node.low, float) else -_FLOAT_MAX,
        node.high if isinstance(node.high, float) else _FLOAT_MAX,
        node.include_low, node.include_high,
    )  # fmt: skip


def _scope_queries(scope: Scope) -> list[tantivy.Query]:
    found: list[tantivy.Query] = []
    for field, patterns in ((ACCOUNT, scope.accounts), (REGION, scope.regions)):
        if "*" in patterns:
            continue
        choices = [_scope_query(field, each) for each in patterns]
        found.append(
            Query.boolean_query([(_SHOULD, each) for each in choices])
            if choices
            else Query.empty_query()
        )
    return found


def _scope_query(field: str, pattern: str) -> tantivy.Query:
    if "*" not in pattern and "?" not in pattern:
        return _term(field, pattern)
    regex = "".join(
        ".*" if each == "*" else "." if each == "?" else _escape(each) for each in pattern
    )
    return Query.regex_query(schema(), "k", f"{_REGEX_FLAGS}{_escape(field)}\\x00{regex}")
