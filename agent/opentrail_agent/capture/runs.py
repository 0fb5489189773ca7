"""Runs of elements within a container, cut many at a time.

`[{...},{...},{...` cannot be cut at line breaks. But the elements of one container begin with the
same key, so the last `{"key"` after a comma is nearly always where an element begins, and what lies
before it is, within brackets, an array that a real parser takes apart. If the guess was wrong the
parser says so and the elements are cut one by one.
"""

import re

import msgspec

_KEY = re.compile(rb'\{[ \t\r\n]*("(?:[^"\\\r\n]|\\.){1,200}")')
_BEFORE = re.compile(rb",[ \t\r\n]*+\{[ \t\r\n]*+\Z")
_CLOSED = re.compile(rb"[ \t\r\n]*+\][ \t\r\n]*+\}?[ \t\r\n]*+\Z")
_WHITE_MAX_BYTES = 1024
_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")

_elements = msgspec.json.Decoder(list[msgspec.Raw])


def first_key(data: bytes, begin: int) -> bytes | None:
    """The first key, with its quotes, of the object that begins at `begin`."""
    match = _KEY.match(data, begin)
    return match[1] if match else None


def cut_elements(data: bytes, begin: int) -> tuple[bytes, int] | None:
    """NDJSON of the whole elements from `begin` on, and where the last of them ends."""
    for end in _likely_ends(data, begin):
        try:
            elements = _elements.decode(b"".join((b"[", data[begin:end], b"]")))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        lines = b"\n".join(elements) + b"\n"
        if lines.count(b"\n") != len(elements) or b"\r" in lines:
            lines = b"".join(bytes(each).translate(_TO_SPACES) + b"\n" for each in elements)
        return lines, end
    return None


def _likely_ends(data: bytes, begin: int) -> list[int]:
    ends: list[int] = []
    tail_from = max(begin, len(data) - _WHITE_MAX_BYTES)
    closed = _CLOSED.search(data, data.rfind(b"}", tail_from, data.rfind(b"]", tail_from) + 1) + 1)
    if closed is not None:
        ends.append(closed.start())
    key = first_key(data, begin)
    at = data.rfind(key, begin + 1) if key else -1
    if at > begin:
        lowest = max(begin, at - _WHITE_MAX_BYTES)
        before = _BEFORE.search(data[lowest:at])
        if before is not None:
            ends.append(lowest + before.start())
    return ends
