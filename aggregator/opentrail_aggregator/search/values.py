"""What one word, phrase, value or range of a query means for its field.

Everything that depends on the kind of a field is decided here, once for every engine: which fields
can be compared, what a date or an address reads like, where a wildcard may not lead.
"""

import ipaddress
import math
import re

from opentrail_aggregator.search.dates import DATE_HINT, parse_date
from opentrail_aggregator.search.fields import UNIQUE, Field, Kind, find_field, range_fields
from opentrail_aggregator.search.scanner import Scanner, Word
from opentrail_aggregator.search.tokens import TOKEN_MAX_BYTES, longest_word_bytes
from opentrail_aggregator.search.tree import (
    Bound,
    Everything,
    Exists,
    FieldPattern,
    Node,
    Or,
    Range,
    Term,
    Text,
    TextPattern,
    Wild,
)

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_FOREIGN = {"&&": "AND", "||": "OR", "!": "NOT"}
_CLOSING = {"[": "]", "{": "}"}


def worded(scan: Scanner, word: Word) -> Node:
    """A word or phrase without a field."""
    start, end = word.start, word.end
    if word.quoted:
        return _text(scan, word)
    for sign, instead in _FOREIGN.items():
        if word.raw.startswith(sign):
            raise scan.error(
                f'"{sign}" is not an operator here', start, start + len(sign),
                f"write {instead}, or put the text in quotes",
            )  # fmt: skip
    if word.pattern == (Wild.ANY,):
        return Everything(start=start, end=end)
    if not word.has_wildcard:
        return _text(scan, word)
    if not all(isinstance(part, Wild) or part.isalnum() for part in word.pattern):
        raise scan.error(
            "a wildcard in a word that is more than one word", start, end,
            "bare words with * or ? hold letters and digits only; name a field, as in "
            "userIdentity.arn:*:user/a*, to match a whole value",
        )  # fmt: skip
    if isinstance(word.pattern[0], Wild):
        raise scan.error(
            "a bare word that begins with a wildcard", start, end,
            "it would read every word of every event; begin with a letter or name a field",
        )  # fmt: skip
    lowered = tuple(part if isinstance(part, Wild) else part.lower() for part in word.pattern)
    return TextPattern(lowered, start=start, end=end)


def _text(scan: Scanner, word: Word) -> Node:
    text, start, end = word.text, word.start, word.end
    if not any(character.isalnum() for character in text):
        raise scan.error(
            "no letter or digit to search for", start, end,
            "bare words are found by their letters and digits; name a field for an exact value",
        )  # fmt: skip
    if longest_word_bytes(text) >= TOKEN_MAX_BYTES:
        raise scan.error(
            f"a word of {longest_word_bytes(text)} bytes", start, end,
            f"words of {TOKEN_MAX_BYTES} bytes or more are not searched; name a field",
        )  # fmt: skip
    node: Node = Text(text, start=start, end=end)
    # What bare words do not search (see NOT_IN_TEXT) is still found when it is pasted whole.
    beside: tuple[str, ...] = ()
    if _UUID.fullmatch(text):
        beside = ("eventID", "requestID", "sharedEventID")
    elif _ACCOUNT.fullmatch(text):
        beside = ("recipientAccountId",)
    if not beside or word.quoted:
        return node
    terms = [Term(_field(name), text, start=start, end=end) for name in beside]
    return Or((node, *terms), start=start, end=end)


def _field(name: str) -> Field:
    field = find_field(name)
    assert field is not None, name
    return field


def any_value(field: Field, start: int, end: int) -> Node:
    """`_exists_:field` and `field:*`."""
    return Exists(field, start=start, end=end)


def valued(scan: Scanner, field: Field, word: Word, start: int) -> Node:
    """`field:word` or `field:"text"`."""
    end = word.end
    if word.pattern == (Wild.ANY,):
        return any_value(field, start, end)
    if field.kind is Kind.TREE:
        raise scan.error(
            f"{field.name} is an object and has no value of its own", start, end,
            f"name a member, as in {field.name}.name:value, ask _exists_:{field.name}, or search "
            "for the bare word",
        )  # fmt: skip
    if field.kind is Kind.DATE:
        bound = _bound(scan, field, word)
        return Range(field, bound, bound, True, True, start=start, end=end)
    if field.kind is Kind.ADDRESS and not word.has_wildcard and "/" in word.text:
        try:
            network = ipaddress.ip_network(word.text, strict=False)
        except ValueError:
            return Term(field, word.text, start=start, end=end)  # Such as "AWS Internal/5".
        low, high = str(network.network_address), str(network.broadcast_address)
        return Range(field, low, high, True, True, start=start, end=end)
    if not word.has_wildcard:
        return Term(field, word.text, start=start, end=end)
    if isinstance(word.pattern[0], Wild) and field.stored in UNIQUE:
        raise scan.error(
            f"a leading wildcard on {field.name}", word.start, end,
            "nearly every event has another one, so all of them would be read; begin with a "
            "character",
        )  # fmt: skip
    return FieldPattern(field, word.pattern, start=start, end=end)


def compared(scan: Scanner, field: Field, start: int) -> Node:
    """`field:>word` and its like."""
    sign = scan.peek()
    scan.at += 1
    inclusive = scan.peek() == "="
    scan.at += inclusive
    word = scan.quoted() if scan.peek() == '"' else scan.word()
    if not word.text:
        raise scan.error(
            f'nothing after "{sign}{"=" * inclusive}"', start, scan.at, "write a value after it"
        )
    _refuse_unordered(scan, field, start, word.end)
    bound = _bound(scan, field, word)
    if sign == ">":
        return Range(field, bound, None, inclusive, True, start=start, end=word.end)
    return Range(field, None, bound, True, inclusive, start=start, end=word.end)


def ranged(scan: Scanner, field: Field, start: int) -> Node:
    """`field:[a TO b]`, each bracket `[` `]` with its bound or `{` `}` without."""
    opening, place = scan.peek(), scan.at
    scan.at += 1
    low = _range_word(scan)
    scan.skip_space()
    middle = _range_word(scan)
    high = _range_word(scan)
    scan.skip_space()
    closing = scan.peek()
    if not low.raw or middle.raw != "TO" or not high.raw or closing not in ("]", "}"):
        end = scan.at + 1
        raise scan.error(
            f"a range reads {opening}from TO to{_CLOSING[opening]}", place, end,
            "write both bounds, * for an open one",
        )  # fmt: skip
    scan.at += 1
    scan.expect_gap()
    _refuse_unordered(scan, field, start, scan.at)
    bounds = [
        None if word.pattern == (Wild.ANY,) else _bound(scan, field, word) for word in (low, high)
    ]
    return Range(
        field, bounds[0], bounds[1],
        opening == "[" or bounds[0] is None, closing == "]" or bounds[1] is None,
        start=start, end=scan.at,
    )  # fmt: skip


def _range_word(scan: Scanner) -> Word:
    scan.skip_space()
    if scan.peek() == '"':
        return scan.quoted()
    word = scan.word()
    kept = word.raw.rstrip("]}")
    if kept != word.raw and kept:
        scan.at = word.start
        text = scan.text
        scan.text = text[: word.start + len(kept)]
        word = scan.word()
        scan.text = text
    elif kept != word.raw:
        scan.at = word.start
        return Word("", (), word.start, word.start)
    return word


def _refuse_unordered(scan: Scanner, field: Field, start: int, end: int) -> None:
    if field.kind in (Kind.KEYWORD, Kind.TREE):
        raise scan.error(
            f"{field.name} is compared as text and has no ranges", start, end,
            f"ranges work on {range_fields()}",
        )  # fmt: skip


def _bound(scan: Scanner, field: Field, word: Word) -> Bound:
    start, end, text = word.start, word.end, word.text
    if word.has_wildcard:
        raise scan.error(
            f"a wildcard in a {field.kind.value}", start, end, "write a whole one, or a range"
        )
    if field.kind is Kind.DATE:
        if (date := parse_date(text)) is None:
            raise scan.error(f'"{text}" is not a date', start, end, DATE_HINT)
        return date
    if field.kind is Kind.ADDRESS:
        try:
            address = ipaddress.ip_address(text)
            if getattr(address, "scope_id", None) is not None:
                raise ValueError(text)
            return str(address)
        except ValueError:
            raise scan.error(
                f'"{text}" is not an IP address', start, end,
                "write 192.0.2.1 or 2001:db8::1; sourceIPAddress:192.0.2.0/24 asks for a network",
            ) from None  # fmt: skip
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise scan.error(f'"{text}" is not a number', start, end, "write 1200 or 1.5")
    return float(text)
