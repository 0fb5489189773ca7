"""From a kept event to the document that OpenSearch gets.

    {"opentrail":{"head":"00001234",…},"@timestamp":"2026-11-24T10:00:00Z", the record's members}
     └──────────────── head: 1,234 bytes, then the record's bytes behind its `{` ─────────────┘

An ordinary record passes byte for byte: the head is put before it and `head` says where it begins,
so a reader cuts the record out of `_source` again. What a cheap check finds unusual is
*normalised*: its members are changed as far as the mapping needs, and its bytes go along in
`opentrail.raw`. What the server refuses even so is sent as the *fallback*: head and `raw` alone.

`opentrail.leaf` (path, NUL, value) holds every value that OpenTrail's own search can ask for and
that is not a keyword of its own: in a document passed as it is what lies in free-form members, in
the two other forms everything. `opentrail.text` holds the words. So answers do not depend on the
form. Documents of template 1 have all values in `leaf`.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from opentrail.record import parse_time
from opentrail_aggregator.index.document import (
    HAS,
    Event,
    address_of,
    event_id_in,
    number_of,
)
from opentrail_aggregator.index.shape import (
    DEPTH_MAX,
    VALUE_MAX_CHARACTERS,
    NumberText,
    Shape,
    compact,
    raw_shape,
    scalar_text,
    shape_of,
)
from opentrail_aggregator.opensearch.template import MAPPED
from opentrail_aggregator.search.fields import (
    CREATION_DATE,
    KEYWORDS,
    NUL_STAND_IN,
    NUMBERS,
    TREES,
)
from opentrail_aggregator.search.lookup import resources, username
from opentrail_aggregator.search.tokens import TOKEN_MAX_BYTES, WORD, longest_word_bytes

BYTES, NORMALISED, FALLBACK = "bytes", "normalised", "fallback"
_TREES = frozenset(TREES)
_KEYWORDS = frozenset((*KEYWORDS, "sourceIPAddress", "eventTime"))
_KNOWN = _TREES | _KEYWORDS
_TYPED = frozenset({"userIdentity", "resources", "tlsDetails"})
_RESERVED = frozenset({"", "opentrail", "@timestamp"})
NUMBER_FIELDS = ("bytes_in", "bytes_out", "duration")
"""Where the values of `search.fields.NUMBERS` are kept, in its order."""
_NUMBER_PATHS = tuple(tuple(name.split(".")) for name in NUMBERS)
_CREATED_PATH = tuple(CREATION_DATE.split("."))
_HEAD_DIGITS = 8
_HEAD_START = b'{"opentrail":{"head":"00000000",'
_DIGITS_AT = len(b'{"opentrail":{"head":"')


class Document:
    """What is sent for one event, and what to fall back on."""

    __slots__ = ("action", "body", "event", "form", "has_words", "key", "log_id", "marks")

    def __init__(
        self, event: Event, key: str, index: str, log_id: str, *,
        fallback: bool = False, has_words: bool = True,
    ) -> None:  # fmt: skip
        self.event = event
        self.key = key
        self.log_id = log_id
        self.has_words = has_words
        self.action = f'{{"create":{{"_index":"{index}","_id":"{key}"}}}}\n'.encode()
        shape = shape_of(event.record)
        self.marks = shape.marks
        self.form, self.body = self._written(shape, is_fallback=fallback)

    @property
    def size(self) -> int:
        return len(self.action) + len(self.body) + 1

    def fall_back(self) -> None:
        """Become the document that no mapping can refuse."""
        try:
            shape = shape_of(self.event.record)
        except (ValueError, RecursionError):
            shape = raw_shape(self.event.record)
        self.form, self.body = self._written(shape, is_fallback=True)

    def _written(self, shape: Shape, *, is_fallback: bool) -> tuple[str, bytes]:
        if not self.has_words:
            shape.text.clear()
        return _written(self.event, self.log_id, shape, is_fallback=is_fallback)


@lru_cache(maxsize=4_096)
def moment(seconds: int) -> str:
    """The time as a date that OpenSearch takes; the calendar's ends stand for what lies beyond."""
    clamped = min(max(seconds, -62_135_596_800), 253_402_300_799)
    return datetime.fromtimestamp(clamped, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)


def _written(event: Event, log_id: str, shape: Shape, *, is_fallback: bool) -> tuple[str, bytes]:
    record = shape.record
    if is_fallback:
        form = FALLBACK
    elif shape.marks or not _is_ordinary(record, event.record):
        form = NORMALISED if record else FALLBACK
    else:
        form = BYTES
    own = orjson.dumps(_own(event, log_id, shape, form))
    when = moment(event.time_s).encode()
    if form == BYTES:
        head = _HEAD_START + own[1:] + b',"@timestamp":"' + when + b'",'
        if "eventTime" not in record:  # An aggregated one: its time is its window's end.
            head += b'"eventTime":"' + when + b'",'
        digits = str(len(head)).zfill(_HEAD_DIGITS).encode()
        return form, b"".join(
            (head[:_DIGITS_AT], digits, head[_DIGITS_AT + _HEAD_DIGITS :], event.record[1:])
        )
    members: dict[str, Any] = {} if form == FALLBACK else normalised(record)
    members["@timestamp"] = when.decode()
    members.setdefault("eventTime", when.decode())  # What Dashboards goes by.
    rest = orjson.dumps(members)
    return form, b'{"opentrail":' + own + b"," + rest[1:]


def _is_ordinary(record: dict[str, Any], line: bytes) -> bool:
    """Whether the mapping takes this record as it is, as far as a look at its members tells."""
    if line[:1] != b"{" or len(record) == 0:
        return False
    for name in record.keys() - _KNOWN:
        if name in _RESERVED or name[0] == "_" or "." in name or len(name) > 1000:
            return False
    for name in record.keys() & _TREES:
        value = record[name]
        if value is None:
            continue
        if name == "resources":
            if type(value) is list:
                if not all(type(each) is dict for each in value):
                    return False
            elif type(value) is not dict:
                return False
        elif type(value) is not dict:
            return False
    return True


def _own(event: Event, log_id: str, shape: Shape, form: str) -> dict[str, Any]:
    record = shape.record
    leaves = _unmapped(shape.leaves) if form == BYTES else shape.leaves
    own_id = record.get("eventID")
    if type(own_id) is str and own_id:
        event_id = _clean(own_id)
    else:
        event_id = event.derived_id or event_id_in(event.record)
        own_id = None
    own: dict[str, Any] = {
        "form": form,
        "id": event_id,
        "time": event.time_s,
        "account": event.account,
        "region": event.region,
        "log": log_id,
        "position": event.position,
    }
    if shape.marks:
        own["shape"] = sorted(shape.marks)
    if name := username(record):
        own["username"] = _clean(name[:VALUE_MAX_CHARACTERS])
    touched = resources(record)
    if touched:
        own["resources"] = [_clean(name[:VALUE_MAX_CHARACTERS]) for _, name in touched]
        kinds = list(
            dict.fromkeys(_clean(kind[:VALUE_MAX_CHARACTERS]) for kind, _ in touched if kind)
        )
        if kinds:
            own["resource_types"] = kinds
    if own_id is None:
        leaves.append(f"eventID\0{event_id}")
    leaves.extend(f"{HAS}\0{root}" for root in record if root in _TREES and record[root])
    address = record.get("sourceIPAddress")
    if type(address) is str and (written := address_of(address)):
        own["address"] = written
    created = _at(record, _CREATED_PATH)
    if type(created) is str and (seconds := _seconds(created)) is not None:
        own["created"] = seconds
    for field, path in zip(NUMBER_FIELDS, _NUMBER_PATHS, strict=True):
        value = _at(record, path)
        if value is not None and (number := number_of(value)) is not None:
            own[field] = number
    own["leaf"] = leaves
    if texts := _apart([words_text(each) for each in shape.text]):
        own["text"] = texts
    if form != BYTES:
        own["raw"] = event.record.decode("utf-8", "replace")
    return own


def _unmapped(leaves: list[str]) -> list[str]:
    return [leaf for leaf in leaves if leaf[: leaf.index("\0")] not in MAPPED]


_APART_MAX = 200


def _apart(texts: list[str]) -> list[str]:
    """Without those whose words stand side by side in another one, where they are found anyway."""
    if len(texts) > _APART_MAX:
        return texts
    kept: list[str] = []
    seen = "\n"
    for text in sorted(texts, key=len, reverse=True):
        if f" {text} " not in seen:
            kept.append(text)
            seen = f"{seen} {text} \n"
    return kept


_SHORT_CHARACTERS = 200


def words_text(text: str) -> str:
    """The words of a text with spaces between them: the server has nothing left to decide."""
    return _short_words(text) if len(text) <= _SHORT_CHARACTERS else _words(text)


def _words(text: str) -> str:
    words = " ".join(WORD.findall(text)).lower()
    if (text.isascii() and len(text) < TOKEN_MAX_BYTES) or (
        longest_word_bytes(text) < TOKEN_MAX_BYTES
    ):
        return words
    # A word too long keeps its place, so that its neighbours do not become neighbours.
    return " ".join("-" if len(w.encode()) >= TOKEN_MAX_BYTES else w for w in words.split(" "))


# Names, addresses and places are the same in event after event.
_short_words = lru_cache(maxsize=32_768)(_words)


def normalised(record: dict[str, Any]) -> dict[str, Any]:
    """Those members of a record that are mapped, as the mapping takes them."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if value is None or name not in _KNOWN:
            continue
        if name in _KEYWORDS:
            text = compact(value) if isinstance(value, dict | list) else scalar_text(value)
            found[name] = _cut(text)
        elif isinstance(value, dict):
            found[name] = _plain(value, 1)
        elif name == "resources" and isinstance(value, list):
            found[name] = [_plain(each, 2) for each in value if isinstance(each, dict)]
        elif isinstance(value, list):
            found[name] = [
                _plain(each, 2) if isinstance(each, dict) else {"value": _plain(each, 3)}
                for each in value
                if each is not None
            ]
        elif name not in _TYPED:
            found[name] = {"value": _cut(scalar_text(value))}
    return found


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        if depth >= DEPTH_MAX:
            return _cut(compact(value))
        return {_cut(name): _plain(each, depth + 1) for name, each in value.items() if name}
    if isinstance(value, list):
        if depth >= DEPTH_MAX:
            return _cut(compact(value))
        return [_plain(each, depth + 1) for each in value]
    if value is None or isinstance(value, bool):
        return value
    # Numbers as they were written: a text says more digits than any number type holds.
    return _cut(str(value) if isinstance(value, NumberText) else scalar_text(value))


_SURROGATES = re.compile("[\ud800-\udfff]")
_seconds = lru_cache(maxsize=8_192)(parse_time)


def _cut(text: str) -> str:
    cut = text[:VALUE_MAX_CHARACTERS]
    return cut if cut.isascii() else _SURROGATES.sub(NUL_STAND_IN, cut)


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _at(record: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = record
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value
