"""The characters of a query: spaces, operators, quoted text, words with their escapes.

A word goes on until white space or a bracket `)`. Inside it a backslash takes the next character
as it is. What would silently mean something else than its writer hopes (`a(b`, `a"b"`, `x~2`,
`x^3`, `!x`, `&&`) is an error here.
"""

import ipaddress
import re
from dataclasses import dataclass

from opentrail_aggregator.search.errors import QueryError
from opentrail_aggregator.search.fields import find_field
from opentrail_aggregator.search.tree import Pattern, Wild

_OPERATOR = re.compile(r"(?:AND|OR|NOT)(?=[\s()\"]|$)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:", re.ASCII)
_NAME = re.compile(r"(?:\\.|[^\s()\"\\:])+(?=:)", re.DOTALL)
_ADDRESS_CHARACTERS = re.compile(r"[0-9A-Fa-f:.]+")
_UNSUPPORTED = {
    "~": 'fuzzy search and word distance ("~") are not supported',
    "^": 'weights ("^") are not supported: answers are in order of time',
}


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of the query: as written, and as meant."""

    raw: str
    pattern: Pattern
    start: int
    end: int
    quoted: bool = False

    @property
    def text(self) -> str:
        """The text with its escapes taken out, a wildcard as its character."""
        return "".join(part.value if isinstance(part, Wild) else part for part in self.pattern)

    @property
    def has_wildcard(self) -> bool:
        return any(isinstance(part, Wild) for part in self.pattern)


class Scanner:
    """A place in a query text and what can be read from there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.last_operator: tuple[str, int] | None = None

    def error(self, message: str, start: int, end: int, hint: str = "") -> QueryError:
        return QueryError(message, self.text, start, min(end, len(self.text)), hint)

    def skip_space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def at_end(self) -> bool:
        self.skip_space()
        return self.at >= len(self.text)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def peek_operator(self) -> str:
        self.skip_space()
        match = _OPERATOR.match(self.text, self.at)
        return match.group() if match else ""

    def take_operator(self, name: str) -> bool:
        if self.peek_operator() != name:
            return False
        self.last_operator = (name, self.at)
        self.at += len(name)
        return True

    def take_name(self) -> Word | None:
        """The field name that begins here, taken with its colon; None if a plain word does."""
        match = _NAME.match(self.text, self.at)
        if match is None or self._is_plain(match.group()):
            return None
        start, self.at = self.at, match.end() + 1
        return self._unescaped(match.group(), start)

    def _is_plain(self, before_colon: str) -> bool:
        if find_field(before_colon) is not None:
            return False
        rest = self.text[self.at + len(before_colon) + 1 :]
        word = re.split(r"[\s()]", self.text[self.at : self.at + 100], maxsplit=1)[0]
        return (
            before_colon == "arn"
            or rest.startswith("//")
            or _TIME.match(word) is not None
            or _is_address(word)
        )

    def word(self) -> Word:
        """The word that begins here; empty if none does."""
        text, start, at = self.text, self.at, self.at
        while at < len(text) and not text[at].isspace() and text[at] != ")":
            if text[at] == "\\":
                if at + 1 >= len(text):
                    raise self.error(
                        "a backslash with nothing behind it", at, at + 1,
                        "write two for one backslash",
                    )  # fmt: skip
                at += 1
            elif text[at] in '("':
                raise self.error(
                    f"{text[at]} inside a word", at, at + 1,
                    "put a space before it, or the whole word in quotes",
                )  # fmt: skip
            elif message := _UNSUPPORTED.get(text[at]):
                raise self.error(message, at, at + 1, f"for the sign itself write \\{text[at]}")
            at += 1
        self.at = at
        return self._unescaped(text[start:at], start)

    def quoted(self) -> Word:
        """The text in quotes that begins here; wildcards in it are plain characters."""
        text, start, at = self.text, self.at, self.at + 1
        pieces: list[str] = []
        while at < len(text) and text[at] != '"':
            if text[at] == "\\":
                at += 1
            pieces.append(text[at : at + 1])
            at += 1
        if at >= len(text):
            raise self.error("a quote is never closed", start, start + 1, 'add a "')
        self.at = at + 1
        self.expect_gap()
        whole = "".join(pieces)
        return Word(text[start : self.at], (whole,) if whole else (), start, self.at, quoted=True)

    def expect_gap(self) -> None:
        """After a quote or a bracket: white space, a closing bracket or the end."""
        following = self.peek()
        if following in _UNSUPPORTED:
            raise self.error(_UNSUPPORTED[following], self.at, self.at + 1, "remove it")
        if following and not following.isspace() and following not in ")]}":
            raise self.error(
                f'"{following}" directly after a quote or bracket', self.at, self.at + 1,
                "put a space or an operator between",
            )  # fmt: skip

    def _unescaped(self, raw: str, start: int) -> Word:
        parts: list[str | Wild] = []
        literal: list[str] = []
        escaped = False
        for character in raw:
            if escaped or character not in "\\*?":
                literal.append(character)
                escaped = False
            elif character == "\\":
                escaped = True
            else:
                if literal:
                    parts.append("".join(literal))
                    literal = []
                wild = Wild(character)
                if not (wild is Wild.ANY and parts and parts[-1] is Wild.ANY):
                    parts.append(wild)  # Two `*` side by side mean no more than one.
        if literal:
            parts.append("".join(literal))
        return Word(raw, tuple(parts), start, start + len(raw))


def _is_address(word: str) -> bool:
    if not _ADDRESS_CHARACTERS.fullmatch(word):
        return False
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True
