"""DQL, as far as our dashboards use it: read once, then made into two things that must agree.

`query_of` is what Dashboards sends to OpenSearch for it; `is_match` decides the same on a record in
Python, from the record alone. The grammar is that of Dashboards: NOT binds tighter than AND, AND
tighter than OR, in small letters or capitals.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r'\s*(?:([()])|(")((?:[^"\\]|\\.)*)"|([^\s()":]+)|(:))')
_SPECIAL = re.compile(r'[+\-=&|!(){}\[\]^"~*?:\\/]')


@dataclass(frozen=True)
class Is:
    """field: value; `is_quoted` values are taken as they are."""

    field: str
    value: str
    is_quoted: bool


@dataclass(frozen=True)
class Not:
    child: "Node"


@dataclass(frozen=True)
class Group:
    is_and: bool
    children: "tuple[Node, ...]"


Node = Is | Not | Group
Token = tuple[str, str]


def parse(text: str) -> Node | None:
    """The tree; None for an empty query."""
    tokens = list(_tokens(text))
    if not tokens:
        return None
    node, rest = _or(tokens, _expression)
    assert not rest, f"left over in {text!r}: {rest}"
    return node


def fields(node: Node | None) -> set[str]:
    match node:
        case Is():
            return {node.field}
        case Not():
            return fields(node.child)
        case Group():
            return set().union(*(fields(each) for each in node.children))
    return set()


def query_of(node: Node | None) -> dict[str, Any]:
    """As `kuery` of Dashboards translates it."""
    match node:
        case None:
            return {"match_all": {}}
        case Not(child=child):
            return {"bool": {"must_not": [query_of(child)]}}
        case Group(is_and=True, children=children):
            return {"bool": {"filter": [query_of(each) for each in children]}}
        case Group(children=children):
            return {"bool": {"should": [query_of(each) for each in children],
                             "minimum_should_match": 1}}  # fmt: skip
        case Is(field=field, value=value, is_quoted=is_quoted):
            if is_quoted:
                inner: dict[str, Any] = {"match_phrase": {field: value}}
            elif value == "*":
                inner = {"exists": {"field": field}}
            elif "*" in value:
                escaped = "*".join(_SPECIAL.sub(r"\\\g<0>", part) for part in value.split("*"))
                inner = {"query_string": {"fields": [field], "query": escaped}}
            else:
                literal = {"true": True, "false": False}.get(value, value)
                inner = {"match": {field: literal}}
            return {"bool": {"should": [inner], "minimum_should_match": 1}}


def is_match(node: Node | None, record: dict[str, Any]) -> bool:
    match node:
        case None:
            return True
        case Not(child=child):
            return not is_match(child, record)
        case Group(is_and=True, children=children):
            return all(is_match(each, record) for each in children)
        case Group(children=children):
            return any(is_match(each, record) for each in children)
        case Is(field=field, value=value, is_quoted=is_quoted):
            found = values_at(record, field)
            if not is_quoted and "*" in value:
                pattern = ".*".join(re.escape(part) for part in value.split("*"))
                return any(re.fullmatch(pattern, each, re.DOTALL) for each in found)
            return value in found


def values_at(value: Any, path: str) -> list[str]:
    """All values under a dotted path, through lists, as their text."""
    if isinstance(value, list):
        return [found for each in value for found in values_at(each, path)]
    if not path:
        if value is None or isinstance(value, dict):
            return []
        return [{True: "true", False: "false"}.get(value, str(value))]
    if not isinstance(value, dict):
        return []
    name, _, rest = path.partition(".")
    return values_at(value.get(name), rest)


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        assert match, f"not DQL at {text[at:]!r}"
        at = match.end()
        if match[2]:
            yield "quoted", re.sub(r"\\(.)", r"\1", match[3])
        elif match[4]:
            is_word = match[4].lower() in ("and", "or", "not")
            yield (match[4].lower(), "") if is_word else ("word", match[4])
        else:
            yield match[1] or match[5], ""


Inner = Callable[[list[Token]], tuple[Node, list[Token]]]


def _or(tokens: list[Token], inner: Inner) -> tuple[Node, list[Token]]:
    return _joined(tokens, "or", lambda rest: _joined(rest, "and", lambda r: _not(r, inner)))


def _joined(tokens: list[Token], word: str, inner: Inner) -> tuple[Node, list[Token]]:
    node, tokens = inner(tokens)
    children = [node]
    while tokens and tokens[0][0] == word:
        node, tokens = inner(tokens[1:])
        children.append(node)
    return (children[0] if len(children) == 1 else Group(word == "and", tuple(children))), tokens


def _not(tokens: list[Token], inner: Inner) -> tuple[Node, list[Token]]:
    if tokens[0][0] == "not":
        node, rest = _not(tokens[1:], inner)
        return Not(node), rest
    if tokens[0][0] == "(":
        node, rest = _or(tokens[1:], inner)
        assert rest[:1] == [(")", "")], "a bracket is open"
        return node, rest[1:]
    return inner(tokens)


def _expression(tokens: list[Token]) -> tuple[Node, list[Token]]:
    (kind, field), (colon, _), *rest = tokens
    assert (kind, colon) == ("word", ":"), f"a field and a colon are expected: {tokens[:3]}"

    def value(tokens: list[Token]) -> tuple[Node, list[Token]]:
        kind, text = tokens[0]
        assert kind in ("word", "quoted"), f"a value of {field} is expected: {tokens[:3]}"
        return Is(field, text, kind == "quoted"), tokens[1:]

    return _not(rest, value)
