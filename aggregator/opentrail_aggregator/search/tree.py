"""A parsed query: a small frozen tree, the only thing engines ever see of a query.

Every node knows the piece of text it came from (`start`, `end`), which is not part of its
identity: two trees are equal when they mean the same. `canonical` writes a tree as text that
parses to an equal tree; cursors are bound to that text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import UnionType

from opentrail_aggregator.search.dates import DateValue, write_date
from opentrail_aggregator.search.fields import Field, escape_name


class Wild(Enum):
    """The two wildcards of a pattern."""

    ANY = "*"
    ONE = "?"


# In a pattern everything but these is taken for what it is.
_SPECIAL = re.compile(r"[^\w.:/@+-]")
Pattern = tuple[str | Wild, ...]
Bound = str | float | DateValue


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Everything(_Placed):
    """`*`: every event."""


@dataclass(frozen=True, slots=True)
class Text(_Placed):
    """A bare word or phrase: its tokens side by side in one string of the record."""

    text: str


@dataclass(frozen=True, slots=True)
class TextPattern(_Placed):
    """A bare word with wildcards: matched against single tokens, in lower case."""

    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Term(_Placed):
    """The field has exactly this value."""

    field: Field
    value: str


@dataclass(frozen=True, slots=True)
class FieldPattern(_Placed):
    """A whole value of the field matches the pattern."""

    field: Field
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Exists(_Placed):
    """The field has a value, or something below it has one."""

    field: Field


@dataclass(frozen=True, slots=True)
class Range(_Placed):
    """The field's date, address or number lies between two bounds; None is open."""

    field: Field
    low: Bound | None
    high: Bound | None
    include_low: bool
    include_high: bool


@dataclass(frozen=True, slots=True)
class Not(_Placed):
    child: "Node"


@dataclass(frozen=True, slots=True)
class And(_Placed):
    children: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Or(_Placed):
    children: "tuple[Node, ...]"


Node = Everything | Text | TextPattern | Term | FieldPattern | Exists | Range | Not | And | Or


def canonical(node: Node) -> str:
    """Text that parses to a tree equal to `node`."""
    return "".join(_write(node))


def _write(node: Node) -> Iterator[str]:
    match node:
        case Everything():
            yield "*"
        case Text(text=text):
            yield _quote(text)
        case TextPattern(pattern=pattern):
            yield _write_pattern(pattern)
        case Term(field=named, value=value):
            yield f"{escape_name(named.name)}:{_quote(value)}"
        case FieldPattern(field=named, pattern=pattern):
            yield f"{escape_name(named.name)}:{_write_pattern(pattern)}"
        case Exists(field=named):
            yield f"_exists_:{escape_name(named.name)}"
        case Range():
            yield _write_range(node)
        case Not(child=child):
            yield "NOT "
            yield from _write_inner(child, And | Or)
        case And(children=children):
            yield from _write_list(children, " AND ", And | Or)
        case Or(children=children):
            yield from _write_list(children, " OR ", Or)


def _write_list(
    children: tuple[Node, ...], joiner: str, bracketed: type | UnionType
) -> Iterator[str]:
    for index, child in enumerate(children):
        if index:
            yield joiner
        yield from _write_inner(child, bracketed)


def _write_inner(node: Node, bracketed: type | UnionType) -> Iterator[str]:
    # No bracket that precedence makes idle: the text would be deeper than what was read.
    if isinstance(node, bracketed):
        yield "("
        yield from _write(node)
        yield ")"
    else:
        yield from _write(node)


def _write_range(node: Range) -> str:
    opening, closing = "[" if node.include_low else "{", "]" if node.include_high else "}"
    low, high = _write_bound(node.low), _write_bound(node.high)
    return f"{escape_name(node.field.name)}:{opening}{low} TO {high}{closing}"


def _write_bound(bound: Bound | None) -> str:
    if bound is None:
        return "*"
    if isinstance(bound, DateValue):
        return write_date(bound)
    return repr(bound) if isinstance(bound, float) else bound


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _write_pattern(pattern: Pattern) -> str:
    return "".join(
        part.value if isinstance(part, Wild) else _SPECIAL.sub(r"\\\g<0>", part) for part in pattern
    )
