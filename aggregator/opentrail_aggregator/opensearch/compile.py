"""From the tree of a query to OpenSearch's query DSL.

All exact matching goes over `opentrail.leaf`, one keyword `path NUL value` for each value of a
record, so that a field means the same as in the embedded index: exact, case-sensitive, through
arrays, with the same cuts. Words go over `opentrail.text`, which holds words made by our own rule.
User text never reaches a query parser of the server.
"""

from typing import Any

from opentrail_aggregator.index.document import HAS
from opentrail_aggregator.index.shape import SEPARATOR, VALUE_MAX_CHARACTERS
from opentrail_aggregator.opensearch.documents import NUMBER_FIELDS
from opentrail_aggregator.search.dates import DateValue
from opentrail_aggregator.search.engine import Scope
from opentrail_aggregator.search.fields import (
    ACCOUNT,
    CREATION_DATE,
    EVENT_TIME,
    NUMBERS,
    REGION,
    Field,
    Kind,
)
from opentrail_aggregator.search.tokens import words_of
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
)

Query = dict[str, Any]
LEAF, WORDS, TIME = "opentrail.leaf", "opentrail.text", "opentrail.time"
_ALWAYS = frozenset({EVENT_TIME.name, "eventID", ACCOUNT, REGION})
_NOTHING: Query = {"match_none": {}}
_EVERYTHING: Query = {"match_all": {}}
_WILD_SPECIAL = frozenset("\\*?")
_LONG = (1 << 63) - 1


def compile_query(
    node: Node, scope: Scope, now: int, start: int | None = None, end: int | None = None
) -> Query:
    """What the server runs for `node` within `scope` and seconds, dates counted from `now`."""
    filters = [*_scope(scope)]
    if start is not None or end is not None:
        filters.append(_between(TIME, start, end))
    filters.append(_compile(node, now))
    return {"bool": {"filter": filters}}


def leaf_prefix(field: Field) -> str:
    """What the leaves of a field's values begin with."""
    return f"{field.stored}{SEPARATOR}"


def escaped_for_regexp(text: str) -> str:
    """`text` as a regular expression of the server matches it."""
    return "".join(each if each.isalnum() else f"\\{each}" for each in text)


def _compile(node: Node, now: int) -> Query:
    match node:
        case Everything():
            return _EVERYTHING
        case Term(field=field, value=value):
            return _term(field.stored, value)
        case FieldPattern(field=field, pattern=pattern):
            return _wildcard(LEAF, leaf_prefix(field), pattern)
        case Exists(field=field):
            return _exists(field)
        case Text(text=text):
            words = words_of(text)
            return {"match_phrase": {WORDS: " ".join(words)}} if words else _NOTHING
        case TextPattern(pattern=pattern):
            return _wildcard(WORDS, "", pattern)
        case Range():
            return _range(node, now)
        case Not(child=child):
            return {"bool": {"must_not": [_compile(child, now)]}}
        case Or(children=children):
            return {"bool": {"should": [_compile(each, now) for each in children],
                             "minimum_should_match": 1}}  # fmt: skip
        case And(children=children):
            return {"bool": {"filter": [_compile(each, now) for each in children]}}


def _term(stored: str, value: str) -> Query:
    return {"term": {LEAF: {"value": f"{stored}{SEPARATOR}{value[:VALUE_MAX_CHARACTERS]}"}}}


def _wildcard(field: str, prefix: str, pattern: Pattern) -> Query:
    text = _literal(prefix) + "".join(
        part.value if isinstance(part, Wild) else _literal(part) for part in pattern
    )
    return {"wildcard": {field: {"value": text}}}


def _literal(text: str) -> str:
    return "".join(f"\\{each}" if each in _WILD_SPECIAL else each for each in text)


def _exists(field: Field) -> Query:
    if field.stored in _ALWAYS:
        return _EVERYTHING
    if field.kind is Kind.TREE:
        return _term(HAS, field.stored)
    beginnings = [leaf_prefix(field)]
    if "." in field.stored:
        beginnings.append(f"{field.stored}.")
    choices = [{"prefix": {LEAF: {"value": each}}} for each in beginnings]
    return {"bool": {"should": choices, "minimum_should_match": 1}}


def _range(node: Range, now: int) -> Query:
    field = node.field
    if field.kind is Kind.DATE:
        low = high = None
        if isinstance(node.low, DateValue):
            first, last = node.low.span(now)
            low = first if node.include_low else last + 1
        if isinstance(node.high, DateValue):
            first, last = node.high.span(now)
            high = last if node.include_high else first - 1
        name = "opentrail.created" if field.stored == CREATION_DATE else TIME
        return _between(name, low, high)
    if field.kind is Kind.ADDRESS:
        name = "opentrail.address"
    else:
        name = f"opentrail.{NUMBER_FIELDS[NUMBERS.index(field.stored)]}"
    bounds: dict[str, Any] = {}
    if node.low is not None:
        bounds["gte" if node.include_low else "gt"] = node.low
    if node.high is not None:
        bounds["lte" if node.include_high else "lt"] = node.high
    return {"range": {name: bounds}} if bounds else {"exists": {"field": name}}


def _between(name: str, low: int | None, high: int | None) -> Query:
    if low is not None and high is not None and low > high:
        return _NOTHING
    bounds = {}
    if low is not None:
        bounds["gte"] = max(-_LONG, min(low, _LONG))
    if high is not None:
        bounds["lte"] = max(-_LONG, min(high, _LONG))
    return {"range": {name: bounds}} if bounds else {"exists": {"field": name}}


def _scope(scope: Scope) -> list[Query]:
    found: list[Query] = []
    for field, patterns in ((ACCOUNT, scope.accounts), (REGION, scope.regions)):
        if "*" in patterns:
            continue
        if not patterns:
            return [_NOTHING]
        choices = [
            {"wildcard": {LEAF: {"value": f"{field}{SEPARATOR}{each}"}}} for each in patterns
        ]
        found.append({"bool": {"should": choices, "minimum_should_match": 1}})
    return found
