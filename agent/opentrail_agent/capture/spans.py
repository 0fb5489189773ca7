"""Where, in a JSON text, the values lie that rules mean: spans of bytes, no objects are made.

    {"user":"ann","password":"hunter2","headers":[{"name":"Cookie","value":"a=b"}]}
                              └──1──┘                                      └─2┘

`find_all` walks over every token of one JSON text and applies every rule. `Finder.find` first looks
for traces of the rules and settles the usual case, a key that is meant, on the spot; only texts
with other traces are walked over. Both expect JSON that a parser has accepted.

JSON within strings is looked into as well, to a depth of NESTED_MAX; what lies deeper, or is torn,
is hidden whole if it bears traces.
"""

import bisect
import re
from typing import NamedTuple

import msgspec

from .rules import (
    HIDDEN,
    KUBERNETES_KEYS,
    KUBERNETES_KINDS,
    PAIR_NAMES,
    PAIR_VALUES,
    PEM,
    SUSPICIOUS_ESCAPE,
    Rules,
)

NESTED_MAX = 4

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOKEN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\r\n]*+:[ \t\r\n]*+)?|[{}\[\]]', re.DOTALL)
_LITERAL = re.compile(rb'[^ \t\r\n,:{}\[\]"]*+')
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL
)
_SHORT = {0x62: b"\b", 0x66: b"\f", 0x6E: b"\n", 0x72: b"\r", 0x74: b"\t"}
_NESTED = re.compile(rb'(?:\\[nrt]|[ \t])*+(?:[{\[]|\\")')
_EMBEDDED_KEY = re.compile(rb'"([^"\\]{1,200})"[ \t\r\n]*+:')
_QUOTED = b'"' + HIDDEN + b'"'
_QUOTE = 0x22


class Span(NamedTuple):
    """Bytes [begin, end) to be replaced, by which rule, and where in the record they are."""

    begin: int
    end: int
    bytes: bytes
    rule: str
    path: str


class _Level:
    """An object or array that is open."""

    __slots__ = ("data", "data_below", "is_named_secret", "is_request", "key", "kind", "path",
                 "resource", "values", "values_below")  # fmt: skip

    def __init__(self, path: str, key: bytes) -> None:
        self.path = path
        self.key = key
        self.kind = self.resource = b""
        self.is_named_secret = self.is_request = False
        self.data: list[Span] = []
        self.values: list[Span] = []
        self.data_below: list[Span] = []
        self.values_below: list[Span] = []


def find_all(text: bytes, rules: Rules, path: str = "", depth: int = 0) -> list[Span]:
    """Every value in one JSON text that a rule means, in order, none within another."""
    found: list[Span] = []
    stack = [_Level(path, b"")]
    here, key = path, b""  # of the value that comes next
    at = 0
    while match := _TOKEN.search(text, at):
        at = match.end()
        level = stack[-1]
        byte = text[match.start()]
        if byte in b"{[":
            stack.append(_Level(here, key))
        elif byte != _QUOTE:
            if len(stack) > 1:
                _close(stack.pop(), stack[-1], found)
            here, key = stack[-1].path, b""
        elif match[2] is None:  # a string that is a value
            found += _in_string(text, match.start(), at, rules, here, depth)
            here, key = level.path, b""
        else:
            key = unescape(match[1][1:-1])[0].lower()
            name = key.decode("utf-8", "replace")
            here = f"{level.path}.{name}" if level.path else name
            rule = rules.rule_for(key) or ("path" if rules.has_path(here) else "")
            if rule:
                end = value_end(text, at)
                found += hide(text, at, end, rule, here)
                at = end
                here, key = level.path, b""
                continue
            _learn(level, key, text, at, rules, here)
    while len(stack) > 1:
        _close(stack.pop(), stack[-1], found)
    return outermost(found)


def _learn(level: _Level, key: bytes, text: bytes, at: int, rules: Rules, path: str) -> None:
    """What a member says about its object, or what its object may say about it."""
    if key in KUBERNETES_KEYS:
        level.data += hide(text, at, value_end(text, at), "kubernetes secret", path)
    elif key in PAIR_VALUES:
        level.values += hide(text, at, value_end(text, at), "pair", path)
    elif key in PAIR_NAMES or key in (b"kind", b"resource"):
        match = _STRING.match(text, at)
        said = unescape(match[0][1:-1])[0].lower() if match else b""
        if key == b"kind":
            level.kind = said
        elif key == b"resource":
            level.resource = said
        elif rules.rule_for(said):
            level.is_named_secret = True


def _close(level: _Level, parent: _Level, found: list[Span]) -> None:
    """`level` ends: all that says what it is has been seen."""
    if level.key == b"objectref" and level.resource == b"secrets":
        parent.is_request = True
    if level.kind == b"secret" or level.kind == b"secretlist" or level.is_request:
        found += level.data
    if level.kind == b"secretlist" or level.is_request:
        found += level.data_below
    if level.is_request:
        found += level.values + level.values_below
    elif level.is_named_secret:
        found += level.values
    parent.data_below += level.data + level.data_below
    parent.values_below += level.values + level.values_below


def hide(text: bytes, begin: int, end: int, rule: str, path: str) -> list[Span]:
    """The value at [begin, end) hidden; nothing if there is nothing to hide."""
    if text[begin : begin + 1] == b'"':
        is_hidden = text[begin + 1 : end - 1] == HIDDEN
        return [] if is_hidden else [Span(begin + 1, end - 1, HIDDEN, rule, path)]
    if text[begin:end] in (b"null", b""):
        return []
    return [Span(begin, end, _QUOTED, rule, path)]


def value_end(text: bytes, begin: int) -> int:
    """Where the value that begins at `begin` ends."""
    first = text[begin : begin + 1]
    if first == b'"':
        match = _STRING.match(text, begin)
        return match.end() if match else len(text)
    if first not in (b"{", b"["):
        match = _LITERAL.match(text, begin)
        return match.end() if match else begin
    depth = 0
    for token in _TOKEN.finditer(text, begin):
        byte = text[token.start()]
        if byte in b"{[":
            depth += 1
        elif byte != _QUOTE:
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)


def _in_string(
    text: bytes, begin: int, end: int, rules: Rules, path: str, depth: int
) -> list[Span]:
    """What is to be hidden of the string value at [begin, end), quotes included."""
    raw = text[begin + 1 : end - 1]
    is_nested = _NESTED.match(raw) is not None
    if not is_nested and b"\\" not in raw and PEM not in raw.lower():
        return []
    inner, marks = unescape(raw)
    lower = inner.lower()
    whole = [Span(begin + 1, end - 1, HIDDEN, "private key" if PEM in lower else "nested", path)]
    if not is_nested:
        has_keys = any(rules.rule_for(match[1]) for match in _EMBEDDED_KEY.finditer(lower))
        return whole if PEM in lower or has_keys else []
    if not rules.leave_traces(lower):
        return []
    if depth == NESTED_MAX:
        return whole
    try:
        msgspec.json.decode(inner)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return whole
    return [
        span._replace(
            begin=begin + 1 + _outer(marks, span.begin),
            end=begin + 1 + _outer(marks, span.end),
            bytes=span.bytes.replace(b"\\", b"\\\\").replace(b'"', b'\\"'),
        )
        for span in find_all(inner, rules, path, depth + 1)
    ]


def unescape(raw: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The text of a JSON string, and marks (offset in it, offset in `raw`) where they diverge."""
    if b"\\" not in raw:
        return raw, []
    parts: list[bytes] = []
    marks: list[tuple[int, int]] = []
    length = at = 0
    for match in _ESCAPE.finditer(raw):
        plain = raw[at : match.start()]
        at = match.end()
        escape = match[0]
        if escape[1] == 0x75 and len(escape) > 2:  # u
            units = [int(unit, 16) for unit in escape.split(b"\\u")[1:]]
            code = units[0]
            if len(units) == 2:
                code = 0x10000 + ((units[0] - 0xD800) << 10) + units[1] - 0xDC00
            character = chr(code).encode("utf-8", "surrogatepass")
        else:
            character = _SHORT.get(escape[1], escape[1:])
        parts += (plain, character)
        length += len(plain) + len(character)
        marks.append((length, at))
    parts.append(raw[at:])
    return b"".join(parts), marks


def _outer(marks: list[tuple[int, int]], offset: int) -> int:
    """Where the byte at `offset` of an unescaped text is in the raw one."""
    index = bisect.bisect_right(marks, (offset, 1 << 62)) - 1
    if index < 0:
        return offset
    inner, raw = marks[index]
    return raw + offset - inner


def outermost(spans: list[Span]) -> list[Span]:
    """`spans` in order, without those that lie within others."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda each: (each.begin, -each.end)):
        if not kept or (span.begin >= kept[-1].end and span[:2] != kept[-1][:2]):
            kept.append(span)
    return kept


def replace(text: bytes, spans: list[Span]) -> bytes:
    """`text` with each of `spans`, in order, replaced; every other byte stays."""
    parts: list[bytes] = []
    at = 0
    for span in spans:
        parts += (text[at : span.begin], span.bytes)
        at = span.end
    parts.append(text[at:])
    return b"".join(parts)


_REST = re.compile(rb'[^"\\]{0,100}')
_COLON = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+")
_PAIR_BEFORE = re.compile(
    rb'"(?:' + b"|".join(sorted(PAIR_NAMES)) + rb')"[ \t\r\n]*+:[ \t\r\n]*+"\Z'
)
_NESTED_QUOTE = re.compile(rb'\\+"')
_KNOWN_MAX = 1000


class Finder:
    """Finds the same as `find_all`, in JSON texts one a line, at the price of their traces."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[bytes, str] = {}
        """Key -> its rule, empty if none means it."""

    def find(self, lines: bytes) -> list[Span]:
        """The spans in all of `lines`. The path of a key that was met before is not told again."""
        stems = self._rules.likely_stems(lines)
        if not stems and not self._rules.steps and b"\\" not in lines:
            return []
        lower = lines.lower()
        spans: list[Span] = []
        closely: dict[int, int] = {}  # lines that must be walked over: begin -> end
        for stem in stems:
            at = lower.find(stem)
            while at >= 0:
                if not self._settle(lines, lower, at, spans):
                    _mark(lines, at, closely)
                at = lower.find(stem, at + len(stem))
        for step in self._rules.steps:
            at = lower.find(step)
            while at >= 0:
                _mark(lines, at, closely)
                at = lower.find(step, at + len(step))
        if b"\\" in lower:
            for match in SUSPICIOUS_ESCAPE.finditer(lower):
                _mark(lines, match.start(), closely)
        if closely:
            begins = sorted(closely)
            spans = [
                span for span in spans
                if span.begin > closely[begins[max(0, bisect.bisect(begins, span.begin) - 1)]]
                or span.begin < begins[0]
            ]  # fmt: skip
            for begin, end in closely.items():
                spans += [
                    span._replace(begin=span.begin + begin, end=span.end + begin)
                    for span in find_all(lines[begin:end], self._rules)
                ]
        return outermost(spans)

    def _settle(self, lines: bytes, lower: bytes, at: int, spans: list[Span]) -> bool:
        """Deal with the trace at `at`; False: its line must be walked over."""
        match = _REST.match(lower, at)
        end = match.end() if match else at
        if PEM in lower[at:end]:
            return False
        byte = lower[end : end + 1]
        if byte == b"\\":
            return _NESTED_QUOTE.match(lower, end) is None
        if byte != b'"':
            return True
        begin = lower.rfind(b'"', 0, at) + 1
        text = lower[begin:end]
        colon = _COLON.match(lower, end + 1)
        if colon is None:
            if text in KUBERNETES_KINDS:
                return False
            is_pair = _PAIR_BEFORE.search(lower, max(0, begin - 80), begin) is not None
            return not (is_pair and self._rules.rule_for(text))
        rule = self._known.get(text)
        if rule is None:
            rule = self._rules.rule_for(text)
            if len(self._known) < _KNOWN_MAX:
                self._known[text] = rule
                if rule:
                    return False  # Walked over for once, to learn where it is.
        if not rule:
            return True
        spans += hide(lines, colon.end(), value_end(lines, colon.end()), rule, "")
        return True


def _mark(lines: bytes, at: int, closely: dict[int, int]) -> None:
    begin = lines.rfind(b"\n", 0, at) + 1
    if begin not in closely:
        end = lines.find(b"\n", at)
        closely[begin] = end if end >= 0 else len(lines)
