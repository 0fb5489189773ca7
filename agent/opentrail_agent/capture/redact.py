"""Redaction: what a source says in confidence never leaves the host.

    line ──► Finder ──► spans ──► the same bytes, HIDDEN_DUE_TO_SECURITY_REASONS in their place
    no JSON ──► hide_torn ──► the same, in doubt more of it

One `Redactor` belongs to one source. It works on bytes: whatever no rule means stays as it is.
Derived eventIDs are made before it, so they do not change with the rules; offsets count the
source's own bytes. It tells which rule hid how much, and once for each key where it was found;
never what. What lies in a text without being a JSON value of its own (a password in a URL or in a
command line) is not found.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence

from opentrail.limits import (
    BATCH_MAX_RAW_BYTES,
    BATCH_RAW_BYTES,
    EVENT_MAX_BYTES,
    REFUSED_HEAD_BYTES,
)

from .pieces import Fragment
from .rules import HIDDEN, rules_of
from .settings import Kind, Redact
from .spans import Finder, Span, find_all, replace
from .torn import hide_torn

# A draft that is not full takes a block of a chunk and what was left of another, grown by this.
GROWTH_MAX_BYTES = 1_000_000
assert 2 * BATCH_RAW_BYTES + EVENT_MAX_BYTES + GROWTH_MAX_BYTES < BATCH_MAX_RAW_BYTES

_TOLD_MAX = 200

_log = logging.getLogger(__name__)


class Redactor:
    """Hides what the rules mean in the records and refusals of one source."""

    def __init__(self, source: str, names: Sequence[str], paths: Sequence[str]) -> None:
        self._rules = rules_of(tuple(names), tuple(paths))
        self._finder = Finder(self._rules)
        self._source = source
        self._counts: Counter[str] = Counter()
        self._told: set[str] = set()
        self._seen: tuple[bytes, bytes] = (b"", b"")
        self._within_secret = False

    def take_counts(self) -> Counter[str]:
        """How many values were hidden since the last call, by rule."""
        counts, self._counts = self._counts, Counter()
        return counts

    def fits(self, block: bytes) -> bool:
        """Whether `block`, lines that are events, is no larger afterwards than may be."""
        hidden = self._hide(block)
        self._seen = (block, hidden)
        if len(hidden) <= EVENT_MAX_BYTES or len(hidden) == len(block):
            return True
        if len(hidden) > len(block) + GROWTH_MAX_BYTES:
            return False
        return max(map(len, hidden.split(b"\n"))) <= EVENT_MAX_BYTES

    def block(self, block: bytes) -> bytes:
        """`block` with its secrets hidden; `fits` was asked first."""
        self._within_secret = False
        seen, self._seen = self._seen, (b"", b"")
        return seen[1] if seen[0] is block else self._hide(block)

    def line(self, line: bytes) -> bytes:
        """One JSON text on one line with its secrets hidden; the same object if it has none."""
        return self._hide(line)

    def admitted(self) -> None:
        """A whole record went by: what comes next does not go on with a torn one."""
        self._within_secret = False

    def refusal(self, fragment: Fragment, whole: bytes = b"") -> Fragment:
        """A refusal with its secrets hidden; `whole` is the refused value if it is JSON."""
        if fragment.reason == "damaged":
            spans, is_open = [Span(0, len(fragment.head), HIDDEN, "torn", "")], False
            text = fragment.head
        elif whole:
            spans, is_open, text = find_all(whole, self._rules), False, whole
        else:
            text = fragment.head
            spans, is_open = hide_torn(text, self._rules, self._within_secret)
        self._within_secret = is_open
        if not spans:
            return fragment
        self._tell(spans)
        head = replace(text, spans)[:REFUSED_HEAD_BYTES]
        # A hash of the whole would tell a guess from the truth.
        digest = hashlib.sha256(head).hexdigest()
        note = f"{len(spans)} values hidden; sha256 is of what is left"
        detail = f"{fragment.detail}; {note}" if fragment.detail else note
        return Fragment(fragment.offset, fragment.length, head, digest, fragment.reason, detail)

    def _hide(self, lines: bytes) -> bytes:
        spans = self._finder.find(lines)
        if not spans:
            return lines
        self._tell(spans)
        return replace(lines, spans)

    def _tell(self, spans: list[Span]) -> None:
        for span in spans:
            self._counts[span.rule] += 1
            if span.path and span.path not in self._told and len(self._told) < _TOLD_MAX:
                self._told.add(span.path)
                _log.info("%s: hidden from now on: %.200s (%s)", self._source, span.path, span.rule)


def redactor_of(
    redact: Redact, kind: Kind, source: str, names: Sequence[str] = (), paths: Sequence[str] = ()
) -> Redactor | None:
    """What hides the secrets of `source`, None if nothing does."""
    is_on = redact == "on" or (redact == "auto" and kind == "mapped")
    return Redactor(source, names, paths) if is_on else None
