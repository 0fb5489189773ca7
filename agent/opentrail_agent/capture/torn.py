"""What is hidden of bytes that are no JSON: torn lines, plain text, the head of a value too large.

Nothing can be relied upon here, so every doubt hides: a name followed by `:` or `=` hides what
comes after it up to the end of a value that is whole beyond doubt, else all the rest. A fragment
that begins within a string, as a torn line's second half does, loses that string, and the value too
if the string was a key.
"""

import re

from .rules import HIDDEN, KUBERNETES_KEYS, LAST_APPLIED, PAIR_VALUES, SUSPICIOUS_ESCAPE, Rules
from .spans import Span

_ASSIGNED = re.compile(rb"""[\\"'\s]*+[:=]\s*+""")
_WHOLE = re.compile(
    rb'\s*+"([^"\\\n\0]*+(?:\\[^\n][^"\\\n\0]*+)*+)"[ \t]*+(?=[,}\]\n])'
    rb"|\s*+(-?[0-9][0-9.eE+\-]*+|true|false|null)[ \t]*+(?=[,}\]\n])"
)
_IN_STRING = re.compile(
    rb'[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r]*+(?:(:)[ \t]*+|(?=[,}\]\n]))', re.DOTALL
)
_PEM_BEGIN = re.compile(rb"-----begin [a-z0-9 ]*private key-----")
_PEM_END = re.compile(rb"-----end [a-z0-9 ]*private key-----")
_BLANK = b"\xef\xbb\xbf \t\r\n"


def hide_torn(head: bytes, rules: Rules, within_secret: bool) -> tuple[list[Span], bool]:
    """The spans to hide, and whether the last of them goes on beyond `head`.

    `within_secret`: what came before ended in the middle of a value that was hidden.
    """
    lower = head.lower()
    everything = [Span(0, len(head), HIDDEN, "torn", "")]
    unspaced = lower.translate(None, b"\0")
    if len(unspaced) != len(lower) and rules.leave_traces(unspaced):
        return everything, True  # UTF-16, perhaps.
    spans: list[Span] = []
    if within_secret and b'"' not in head:
        return everything, True
    if within_secret or not head.lstrip(_BLANK).startswith((b"{", b"[")):
        spans += _beginning(head, within_secret)
    escape = SUSPICIOUS_ESCAPE.search(lower)
    if escape is not None:
        spans.append(Span(escape.start(), len(head), HIDDEN, "torn", ""))
    names = dict(rules.rule_of)
    names |= {step: "path" for step in rules.steps}
    if b"secret" in lower or b"apiversion" in lower or LAST_APPLIED in lower:
        names |= {key: "kubernetes secret" for key in KUBERNETES_KEYS}
    if rules.leave_traces(lower):
        names |= {key: "pair" for key in PAIR_VALUES}
    for name, rule in names.items():
        at = lower.find(name)
        while at >= 0:
            assigned = _ASSIGNED.match(lower, at + len(name))
            if assigned is not None:
                spans += _value(head, assigned.end(), rule)
            at = lower.find(name, at + len(name))
    for begin in _PEM_BEGIN.finditer(lower):
        end = _PEM_END.search(lower, begin.end())
        spans.append(
            Span(begin.start(), end.end() if end else len(head), HIDDEN, "private key", "")
        )
    spans = _merged(spans)
    return spans, bool(spans) and spans[-1].end == len(head)


def _beginning(head: bytes, within_secret: bool) -> list[Span]:
    """What to hide at the front of a text that begins in the middle of a record."""
    begin = len(head) - len(head.lstrip(_BLANK))
    first = head[begin : begin + 1]
    if first == b":":
        return _value(head, begin + 1, "torn")
    match = _IN_STRING.match(head)
    if match is None:
        return _value(head, begin, "torn") if within_secret or first == b'"' else []
    spans = [Span(0, head.index(b'"'), HIDDEN, "torn", "")] if first != b'"' else []
    return spans + (_value(head, match.end(), "torn") if match[1] else [])


def _value(head: bytes, at: int, rule: str) -> list[Span]:
    match = _WHOLE.match(head, at)
    if match is None:
        return [Span(at, len(head), HIDDEN, rule, "")] if at < len(head) else []
    if match[2] is not None:
        if match[2] == b"null":
            return []
        return [Span(match.start(2), match.end(2), b'"' + HIDDEN + b'"', rule, "")]
    return [] if match[1] == HIDDEN else [Span(match.start(1), match.end(1), HIDDEN, rule, "")]


def _merged(spans: list[Span]) -> list[Span]:
    """`spans` in order; those that overlap become one."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.begin < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged
