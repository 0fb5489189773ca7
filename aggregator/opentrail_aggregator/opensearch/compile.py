"""From the tree of a query to OpenSearch's query DSL.

All exact matching goes over keywords: those of the record's own members, and `opentrail.leaf`, one
keyword `path NUL value` for each value that has none of its own, so that a field means the same as
in the embedded index: exact, case-sensitive, through arrays, with the same cuts. Both are always
asked, because in a document that was not passed as it came everything is a leaf. Words go over
`opentrail.text`, which holds words made by our own rule. User text never reaches a query parser of
the server.
"""

from collections.abc import Iterable
from typing import Any

from opentrail.errors import UsageError
from opentrail_aggregator.index.document import HAS
from opentrail_aggregator.index.shape import SEPARATOR, VALUE_MAX_CHARACTERS
from opentrail_aggregator.opensearch.documents import BYTES, NUMBER_FIELDS
from opentrail_aggregator.opensearch.template import MAPPED
from opentrail_aggregator.search.dates import DateValue
from opentrail_aggregator.search.engine import Scope
from opentrail_aggregator.search.fields import (
    ACCOUNT,
    CREATION_DATE,
    EVENT_TIME,
    NUMBERS,
    REGION,
    RESOURCE_NAME,
    RESOURCE_TYPE,
    SHAPE,
    USERNAME,
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
VALUES_MAX = 60_000
"""Different values that one count by field can take in; the server's own limit is 65,535."""
LEAVES = "leaves"
"""The aggregation whose keys have the path before the value."""
LEAF, WORDS, TIME = "opentrail.leaf", "opentrail.text", "opentrail.time"
_OWN = {
    ACCOUNT: "opentrail.account", REGION: "opentrail.region", SHAPE: "opentrail.shape",
    USERNAME: "opentrail.username", RESOURCE_NAME: "opentrail.resources",
    RESOURCE_TYPE: "opentrail.resource_types",
}  # fmt: skip
"""What every document has under `opentrail.` in a keyword of its own, and in no leaf."""
_ALWAYS = frozenset({EVENT_TIME.name, "eventID", ACCOUNT, REGION})
_NOTHING: Query = {"match_none": {}}
_EVERYTHING: Query = {"match_all": {}}
_WILD_SPECIAL = frozenset("\\*?")
_LONG = (1 << 63) - 1


def compile_query(
    node: Node, scope: Scope, now: int, start: int | None = None, end: int | None = None,
    *, has_words: bool = True,
) -> Query:  # fmt: skip
    """What the server runs for `node` within `scope` and seconds, dates counted from `now`."""
    if not has_words and _asks_for_words(node):
        raise UsageError(
            "words are not in the index (opensearch.free_text is off); name a field, as in "
            "eventName:GetObject"
        )
    filters = [*_scope(scope)]
    if start is not None or end is not None:
        filters.append(_between(TIME, start, end))
    filters.append(_compile(node, now))
    return {"bool": {"filter": filters}}


def _asks_for_words(node: Node) -> bool:
    match node:
        case Text() | TextPattern():
            return True
        case Not(child=child):
            return _asks_for_words(child)
        case Or(children=children) | And(children=children):
            return any(map(_asks_for_words, children))
    return False


def leaf_prefix(field: Field) -> str:
    """What the leaves of a field's values begin with."""
    return f"{field.stored}{SEPARATOR}"


def values_of(stored: str) -> Query:
    """Aggregations that together count each event once for each of its values of a field.

    A document passed as it came has a mapped value in its keyword alone, any other one in its
    leaves; of template 1 each has it in both.
    """
    keyword, is_all = keyword_of(stored)
    mapped: Query = {"terms": {"field": keyword, "size": VALUES_MAX}}
    if is_all:
        return {"mapped": mapped}
    include = _escaped_for_regexp(f"{stored}{SEPARATOR}") + "(.|\n)*"
    leaves: Query = {"terms": {"field": LEAF, "size": VALUES_MAX, "include": include}}
    if not keyword:
        return {LEAVES: leaves}
    passed: Query = {"term": {"opentrail.form": BYTES}}
    return {
        "mapped": {"filter": passed, "aggs": {"by": mapped}},
        LEAVES: {"filter": {"bool": {"must_not": [passed]}}, "aggs": {"by": leaves}},
    }


def _escaped_for_regexp(text: str) -> str:
    return "".join(each if each.isalnum() else f"\\{each}" for each in text)


def _compile(node: Node, now: int) -> Query:
    match node:
        case Everything():
            return _EVERYTHING
        case Term(field=field, value=value):
            return _term(field.stored, value)
        case FieldPattern(field=field, pattern=pattern):
            return _any(_wildcard(name, prefix, pattern) for name, prefix in _places(field.stored))
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
            return _any(_compile(each, now) for each in children)
        case And(children=children):
            return {"bool": {"filter": [_compile(each, now) for each in children]}}


def _term(stored: str, value: str) -> Query:
    wanted = value[:VALUE_MAX_CHARACTERS]
    return _any({"term": {name: {"value": prefix + wanted}}} for name, prefix in _places(stored))


def keyword_of(stored: str) -> tuple[str, bool]:
    """The keyword that holds a field's values, empty if none, and whether it always does."""
    if own := _OWN.get(stored):
        return own, True
    return (stored, False) if stored in MAPPED else ("", False)


def _places(stored: str) -> list[tuple[str, str]]:
    """Keywords that may hold a value of a field, and what stands before it there."""
    keyword, is_all = keyword_of(stored)
    leaf = [] if is_all else [(LEAF, f"{stored}{SEPARATOR}")]
    return [(keyword, ""), *leaf] if keyword else leaf


def _any(queries: Iterable[Query]) -> Query:
    choices = list(queries)
    if len(choices) == 1:
        return choices[0]
    return {"bool": {"should": choices, "minimum_should_match": 1}}


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
    stored = field.stored
    keyword, is_all = keyword_of(stored)
    keywords = {keyword} - {""}
    beginnings = [] if is_all else [leaf_prefix(field)]
    if "." in stored and not is_all:
        beginnings.append(f"{stored}.")
        keywords |= {each for each in MAPPED if each.startswith(f"{stored}.")}
    return _any(
        [
            *({"exists": {"field": each}} for each in sorted(keywords)),
            *({"prefix": {LEAF: {"value": each}}} for each in beginnings),
        ]
    )


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
        found.append(_any({"wildcard": {_OWN[field]: {"value": each}}} for each in patterns))
    return found
