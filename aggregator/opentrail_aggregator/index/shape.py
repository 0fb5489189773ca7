"""From a record to what can be searched of it: values by path, and text.

    leaves  ["eventName", "GetObject"], ["requestParameters.bucketName", "logs"], ...
    text    every string in it, but those of members that have a name to ask by

This is the normaliser for every engine. An ordinary record takes the short way: one fast decode and
one walk. What is strange in a record (a member of another type than CloudTrail's, a number that a
float cannot hold, half a surrogate, great depth, huge values, thousands of members) takes the long
way, which changes only what no engine could hold, and says so in `marks`:

    cut       a value or path was cut to its first characters     deep     an inner object as text
    wrapped   a scalar where an object belongs                     many     members left out
    replaced  a character that no text may hold                    raw      only the text was taken

Nothing here raises for any bytes at all: what cannot be decoded becomes a raw shape.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from opentrail_aggregator.search.fields import KEYWORDS, NOT_IN_TEXT, NUL_STAND_IN, TREES

SEPARATOR = "\0"
"""Between path and value in a leaf; no path holds it."""
VALUE_MAX_CHARACTERS = 6_000
PATH_MAX_CHARACTERS = 2_000
LEAVES_MAX = 10_000
DEPTH_MAX = 20
"""Together these keep a leaf below 32,766 bytes and an object below 20 levels: what the strictest
engine takes. A longer value is found by its first characters, by exact value and by wildcard."""
assert 4 * (VALUE_MAX_CHARACTERS + PATH_MAX_CHARACTERS) + 1 < 32_766

_KEYWORDS = frozenset((*KEYWORDS, "sourceIPAddress"))
_TREES = frozenset(TREES)
_SHORT_BYTES = VALUE_MAX_CHARACTERS
"""In a record this short no value and no path can be too long."""
_SURROGATES = re.compile("[\ud800-\udfff]")


class NumberText(str):
    """A number as it was written; not a string of the record."""

    __slots__ = ()


class _UnusualError(Exception):
    """The short way is not for this record."""


@dataclass(slots=True)
class Shape:
    """What is searchable of one record."""

    record: dict[str, Any] = field(default_factory=dict)
    leaves: list[str] = field(default_factory=list)
    """path, NUL, value."""
    text: list[str] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)


def shape_of(line: bytes) -> Shape:
    """What is searchable of the record in `line`."""
    if len(line) <= _SHORT_BYTES and b"\\u0000" not in line:
        try:
            return _ordinary(line)
        except (_UnusualError, ValueError, RecursionError):
            return _unusual(line)
    return _unusual(line)


def _ordinary(line: bytes) -> Shape:
    record = orjson.loads(line)
    if type(record) is not dict:
        raise _UnusualError
    leaves: list[str] = []
    text: list[str] = []
    unread: list[str] = []
    for name, value in record.items():
        kind = type(value)
        if name in _KEYWORDS:
            if kind is str:
                leaves.append(f"{name}\0{value}")
                if name not in NOT_IN_TEXT:
                    text.append(value)
            elif kind is bool:
                leaves.append(f"{name}\0true" if value else f"{name}\0false")
            elif kind is int:
                leaves.append(f"{name}\0{value}")
            elif value is not None:
                raise _UnusualError
        elif name in _TREES:
            if kind is dict or (kind is list and name == "resources"):
                _walk(value, name, leaves, unread if name in NOT_IN_TEXT else text, 1)
            elif value is not None:
                raise _UnusualError
        elif name not in NOT_IN_TEXT:
            if kind is str:
                text.append(value)
            elif kind is dict or kind is list:
                _walk(value, name, unread, text, 1)
    if len(leaves) > LEAVES_MAX:
        raise _UnusualError
    return Shape(record, leaves, list(dict.fromkeys(text)))


def _walk(value: Any, path: str, leaves: list[str], text: list[str], depth: int) -> None:
    """Every scalar below the object or array `value`."""
    if depth > DEPTH_MAX:
        raise _UnusualError
    if type(value) is dict:
        for name, inner in value.items():
            kind = type(inner)
            if kind is str:
                leaves.append(f"{path}.{name}\0{inner}")
                text.append(inner)
            elif kind is dict or kind is list:
                _walk(inner, f"{path}.{name}", leaves, text, depth + 1)
            elif kind is bool:
                leaves.append(f"{path}.{name}\0true" if inner else f"{path}.{name}\0false")
            elif kind is int:
                leaves.append(f"{path}.{name}\0{inner}")
            elif inner is not None:
                raise _UnusualError
        return
    for inner in value:
        kind = type(inner)
        if kind is dict or kind is list:
            _walk(inner, path, leaves, text, depth + 1)
        elif "." not in path:
            if inner is not None:
                raise _UnusualError  # A scalar directly in a list that is a member at the top.
        elif kind is str:
            leaves.append(f"{path}\0{inner}")
            text.append(inner)
        elif kind is bool:
            leaves.append(f"{path}\0true" if inner else f"{path}\0false")
        elif kind is int:
            leaves.append(f"{path}\0{inner}")
        elif inner is not None:
            raise _UnusualError


def _unusual(line: bytes) -> Shape:
    try:
        record = json.loads(line, parse_float=NumberText, parse_int=NumberText)
    except (ValueError, RecursionError):
        return raw_shape(line)
    if type(record) is not dict:
        return raw_shape(line)
    shape = Shape(record)
    _Unusual(shape).take(record)
    shape.text = list(dict.fromkeys(shape.text))
    return shape


def raw_shape(line: bytes) -> Shape:
    """The shape of something that cannot be decoded: its text and nothing else."""
    text = line.decode("utf-8", "replace").replace("\0", NUL_STAND_IN)
    return Shape(text=[text], marks={"raw"})


class _Unusual:
    """The long way: every value checked, nothing recursive."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.marks = shape.marks

    def take(self, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if value is None:
                continue
            # Before the trees, which may fill all the room there is.
            if name in _KEYWORDS:
                if isinstance(value, dict | list):
                    self.marks.add("wrapped")
                    self.leaf(name, compact(value))
                else:
                    self.leaf(name, scalar_text(value))
            if name not in NOT_IN_TEXT:
                self.strings(value)
        for name in TREES:
            if record.get(name) is not None:
                self.tree(name, record[name])

    def tree(self, root: str, value: Any) -> None:
        if not isinstance(value, dict | list):
            self.marks.add("wrapped")
        stack: list[tuple[str, Any, int]] = [(root, value, 0)]
        while stack:
            path, inner, depth = stack.pop()
            if inner is None:
                continue
            if isinstance(inner, dict | list):
                if depth >= DEPTH_MAX:
                    self.marks.add("deep")
                    self.leaf(path, compact(inner))
                elif isinstance(inner, dict):
                    stack.extend(
                        (self.path(path, name), each, depth + 1)
                        for name, each in reversed(inner.items())
                    )
                else:
                    stack.extend((path, each, depth + 1) for each in reversed(inner))
            else:
                self.leaf(f"{root}.value" if path == root else path, scalar_text(inner))

    def path(self, above: str, name: str) -> str:
        path = f"{above}.{self.clean(name)}"
        if SEPARATOR in path:
            self.marks.add("replaced")
            path = path.replace(SEPARATOR, NUL_STAND_IN)
        if len(path) > PATH_MAX_CHARACTERS:
            self.marks.add("cut")
            path = path[:PATH_MAX_CHARACTERS]
        return path

    def leaf(self, path: str, value: str) -> None:
        if len(self.shape.leaves) >= LEAVES_MAX:
            self.marks.add("many")
            return
        value = self.clean(value)
        if len(value) > VALUE_MAX_CHARACTERS:
            self.marks.add("cut")
            value = value[:VALUE_MAX_CHARACTERS]
        self.shape.leaves.append(f"{path}{SEPARATOR}{value}")

    def strings(self, value: Any) -> None:
        stack = [value]
        while stack:
            inner = stack.pop()
            if isinstance(inner, dict):
                stack.extend(inner.values())
            elif isinstance(inner, list):
                stack.extend(inner)
            elif isinstance(inner, str) and not isinstance(inner, NumberText):
                self.shape.text.append(self.clean(inner))

    def clean(self, text: str) -> str:
        if _SURROGATES.search(text):
            self.marks.add("replaced")
            return _SURROGATES.sub("\ufffd", text)
        return text


def scalar_text(value: Any) -> str:
    """The text that a value is compared by: as the record has it."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def compact(value: Any) -> str:
    """JSON text of an object or array without spaces, for where only text can be held.

    Numbers stay as they were written; the text ends early where it would be cut anyway.
    """
    pieces: list[str] = []
    size = 0
    stack: list[Any] = [value]
    while stack and size <= VALUE_MAX_CHARACTERS:
        inner = stack.pop()
        if isinstance(inner, _Verbatim):
            piece = inner.text
        elif isinstance(inner, dict):
            piece = "{"
            stack.append(_CLOSE_OBJECT)
            members = list(inner.items())
            for index in range(len(members) - 1, -1, -1):
                name, each = members[index]
                comma = "," if index else ""
                stack.append(each)
                stack.append(_Verbatim(f"{comma}{_quoted(name)}:"))
        elif isinstance(inner, list):
            piece = "["
            stack.append(_CLOSE_ARRAY)
            for index in range(len(inner) - 1, -1, -1):
                stack.append(inner[index])
                if index:
                    stack.append(_COMMA)
        elif isinstance(inner, str) and not isinstance(inner, NumberText):
            piece = _quoted(inner)
        else:
            piece = "null" if inner is None else scalar_text(inner)
        pieces.append(piece)
        size += len(piece)
    return "".join(pieces)


@dataclass(frozen=True, slots=True)
class _Verbatim:
    text: str


_CLOSE_OBJECT, _CLOSE_ARRAY, _COMMA = _Verbatim("}"), _Verbatim("]"), _Verbatim(",")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
