"""From query text to tree: a recursive descent over Lucene's query-string syntax.

    query    = [ either ] .
    either   = all { "OR" all } .
    all      = one { [ "AND" ] one } .               side by side means AND
    one      = ( "NOT" | "-" | "+" ) one | "(" either ")" | clause .
    clause   = name ":" value | word | "phrase" | "*" .
    value    = word | "text" | "(" either ")" | ( ">" | ">=" | "<" | "<=" ) word
             | ( "[" | "{" ) word "TO" word ( "]" | "}" ) .

What other parsers refuse is what people type: ARNs, IPv6 addresses and times need no quotes. So a
colon ends a field name only if the text before it is the name of a field; `arn:`, addresses, times
and URLs are words; anything else before a colon is an error that names the field meant.

Nothing but QueryError leaves `parse`, for any text. How deep and how long a query may be is bounded
here, because engines spend their stack on one and their time on the other.
"""

from opentrail_aggregator.search.errors import QueryError
from opentrail_aggregator.search.fields import Field, find_field, suggest
from opentrail_aggregator.search.scanner import Scanner, Word
from opentrail_aggregator.search.tree import And, Everything, Node, Not, Or
from opentrail_aggregator.search.values import (
    any_value,
    compared,
    ranged,
    valued,
    worded,
)

DEPTH_MAX = 50
TERMS_MAX = 500
QUERY_MAX_CHARACTERS = 50_000
_OPERATORS = ("AND", "OR", "NOT")


def parse(text: str) -> Node:
    """The tree of `text`; an empty text asks for everything. Raises QueryError only."""
    if len(text) > QUERY_MAX_CHARACTERS:
        raise QueryError(
            f"the query has {len(text)} characters, at most {QUERY_MAX_CHARACTERS} are read",
            text, QUERY_MAX_CHARACTERS, len(text), "ask for less at a time",
        )  # fmt: skip
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(
            "a character that is half of one (a lone surrogate)", text, error.start, error.end,
            "remove it",
        ) from None  # fmt: skip
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self.scan = Scanner(text)
        self.depth = 0
        self.terms = 0

    def query(self) -> Node:
        scan = self.scan
        scan.skip_space()
        if scan.at_end():
            return Everything(start=0, end=len(scan.text))
        node = self.either(None)
        if not scan.at_end():
            # Only a closing bracket ends the descent before the text ends.
            raise scan.error('")" without a "("', scan.at, scan.at + 1, "remove it or quote it")
        return node

    def either(self, field: Field | None) -> Node:
        children = [self.all(field)]
        while self.scan.take_operator("OR"):
            children.append(self.all(field))
        return _joined(Or, children)

    def all(self, field: Field | None) -> Node:
        children = [self.one(field)]
        scan = self.scan
        while not scan.at_end() and scan.peek() != ")" and scan.peek_operator() != "OR":
            scan.take_operator("AND")
            children.append(self.one(field))
        return _joined(And, children)

    def one(self, field: Field | None) -> Node:
        scan = self.scan
        scan.skip_space()
        start = scan.at
        self.expect_something(start)
        operator = scan.peek_operator()
        if operator in ("AND", "OR"):
            raise scan.error(
                f'nothing before "{operator}"', start, start + len(operator),
                f'write a term before it, or "{operator}" in quotes to search for the word',
            )  # fmt: skip
        if operator == "NOT" or scan.peek() == "-":
            scan.at += 3 if operator else 1
            scan.last_operator = ("NOT" if operator else "-", start)
            child = self.nested(start, field)
            return Not(child, start=start, end=child.end)
        if scan.peek() == "+":
            scan.at += 1
            scan.last_operator = ("+", start)
            return self.nested(start, field)
        if scan.peek() == "(":
            return self.group(field)
        if scan.peek() == ")":
            raise scan.error('")" where a term should be', start, start + 1, "write a term here")
        return self.clause(field)

    def nested(self, start: int, field: Field | None) -> Node:
        self.deeper(start)
        child = self.one(field)
        self.depth -= 1
        return child

    def group(self, field: Field | None) -> Node:
        scan, start = self.scan, self.scan.at
        scan.at += 1
        scan.skip_space()
        if scan.at_end():
            raise self.never_closed(start)
        if scan.peek() == ")":
            raise scan.error('"()" with nothing inside', start, scan.at + 1, "write a term inside")
        self.deeper(start)
        node = self.either(field)
        self.depth -= 1
        scan.skip_space()
        if scan.peek() != ")":
            raise self.never_closed(start)
        scan.at += 1
        scan.expect_gap()
        return node

    def clause(self, field: Field | None) -> Node:
        """A word, a phrase, or a field and its value."""
        scan = self.scan
        self.count(scan.at)
        if field is not None:
            return self.value(field, scan.at)
        start = scan.at
        if scan.peek() == '"':
            return worded(scan, scan.quoted())
        if scan.peek() in "[{":
            raise scan.error(
                "a range without a field", start, start + 1,
                "write the field before it, as in eventTime:[now-2h TO now]",
            )  # fmt: skip
        name = scan.take_name()
        if name is None:
            return worded(scan, scan.word())
        if name.text == "_exists_":
            return self.exists(start)
        if name.raw == "*" and scan.text[scan.at :][:1] == "*":
            scan.word()
            return Everything(start=start, end=scan.at)
        named = find_field(name.text)
        if named is None:
            raise self.unknown(name)
        return self.value(named, start)

    def exists(self, start: int) -> Node:
        scan = self.scan
        word = scan.quoted() if scan.peek() == '"' else scan.word()
        if not word.text:
            raise scan.error('nothing after "_exists_:"', start, scan.at, "write a field name")
        named = find_field(word.text)
        if named is None:
            raise self.unknown(word)
        return any_value(named, start, word.end)

    def value(self, field: Field, start: int) -> Node:
        scan = self.scan
        opening = scan.peek()
        if opening == "(":
            return self.group(field)
        if opening in ("[", "{"):
            return ranged(scan, field, start)
        if opening in (">", "<"):
            return compared(scan, field, start)
        word = scan.quoted() if opening == '"' else scan.word()
        if not word.raw:
            raise scan.error(
                f'nothing after "{field.name}:"', start, scan.at,
                f'write a value, {field.name}:* for any, or "" for an empty one',
            )  # fmt: skip
        return valued(scan, field, word, start)

    def unknown(self, name: Word) -> QueryError:
        meant = suggest(name.text)
        hint = f"did you mean {meant}?" if meant else "names are CloudTrail's own, exact in case."
        return self.scan.error(
            f'there is no field "{name.text}"', name.start, name.end,
            f"{hint} To search for the text itself, put it in quotes",
        )  # fmt: skip

    def expect_something(self, start: int) -> None:
        scan = self.scan
        if not scan.at_end():
            return
        name, place = scan.last_operator or ("", start)
        raise scan.error(
            f'nothing after "{name}"', place, place + len(name), "write a term after it"
        )

    def never_closed(self, start: int) -> QueryError:
        return self.scan.error('"(" is never closed', start, start + 1, 'add a ")"')

    def deeper(self, start: int) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise self.scan.error(
                f"more than {DEPTH_MAX} levels of brackets and NOT", start, start + 1,
                "write it flatter",
            )  # fmt: skip

    def count(self, start: int) -> None:
        self.terms += 1
        if self.terms > TERMS_MAX:
            raise self.scan.error(
                f"more than {TERMS_MAX} terms", start, start + 1, "ask in several queries"
            )


def _joined(kind: type[And] | type[Or], children: list[Node]) -> Node:
    if len(children) == 1:
        return children[0]
    flat = [
        inner
        for child in children
        for inner in (child.children if isinstance(child, kind) else (child,))
    ]
    return kind(tuple(flat), start=children[0].start, end=children[-1].end)
