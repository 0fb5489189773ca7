"""Where one value ends: the three ways to look for the end of what begins at a place in a stream.

An *ender* is handed the same stream chunk by chunk and says one of three things:

    MORE    the end is not in these bytes; go on from here with the next chunk
    END     the value ends here (exclusive)
    BROKEN  the value is no JSON and never will be; reading resumes here

`ValueEnder` follows brackets and strings only; whether what lies between is JSON is decided by a
real parser once the value is whole. But it must notice early that a value is torn, or a torn one
would swallow all that follows. A text with line breaks is torn for certain if a string holds a line
break, if the two tokens on either side of a line break can never be neighbours, if a line of an
indented value stands further left than the value itself, or if a line by itself is a whole object
where the open value has no indentation to be part of.

Enders do no I/O and keep no bytes, so a value of any length costs no memory.
"""

import enum
import re
from typing import Literal, Protocol

import msgspec


class Found(enum.Enum):
    """What an ender says about the bytes it was shown."""

    MORE = "the end lies further on"
    END = "the value ends here"
    BROKEN = "no value: reading resumes here"


class Ender(Protocol):
    is_invalid: bool
    """Seen something that cannot be part of a value."""
    yields: Literal["value", "line", "fragment"]
    """Whether what ends is a value for certain, perhaps (a line), or never."""

    def scan(self, data: bytes, position: int, final: bool) -> tuple[Found, int]:
        """Look on from `position`; `final` says that nothing follows `data`."""
        ...


# Strings are possessive (`*+`): a string without an end costs one pass, not a backtrack.
_IN_STRING = re.compile(rb'[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+')
_TOKEN = re.compile(
    rb'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"'
    rb'|[{}\[\]\n"]'
    rb"|[^ \t\r\n,:0-9+\-.eEtrufalsn{}\[\]]"
)
_INDENT = re.compile(rb"[ \t]*+")
_BLANKS = b" \t\r"
_QUOTE, _BACKSLASH, _NEWLINE = b'"\\\n'
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = b"{}[]"
_COMMA, _COLON = b",:"
_VALUE_STARTS = b'{["-0123456789tfn'
_EMPTY_OBJECT = re.compile(rb"\{[ \t\r]*\}")

# Beyond this nesting only the depth is counted: no record is that deep (limits.JSON_MAX_DEPTH).
_STACK_MAX = 100_000
# A line longer than this is not looked at as a value of its own while another is open.
_WHOLE_LINE_MAX_BYTES = 1 << 20

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_whole_object(line: bytes) -> bool:
    """Whether `line` by itself is a JSON object."""
    try:
        _object.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


class LineEnder:
    """Ends before the next line break."""

    is_invalid = False
    yields: Literal["value", "line", "fragment"] = "line"

    def scan(self, data: bytes, position: int, final: bool) -> tuple[Found, int]:
        end = data.find(b"\n", position)
        if end < 0:
            return (Found.END if final else Found.MORE), len(data)
        return Found.END, end


class RunEnder:
    """Ends before the first byte that is not (NUL_RUN) or is (UNTIL_ELEMENT) of some kind."""

    is_invalid = True
    yields: Literal["value", "line", "fragment"] = "fragment"

    def __init__(self, run: re.Pattern[bytes]) -> None:
        self._run = run

    def scan(self, data: bytes, position: int, final: bool) -> tuple[Found, int]:
        match = self._run.match(data, position)
        end = match.end() if match else position
        return (Found.END if final or end < len(data) else Found.MORE), end


NUL_RUN = re.compile(rb"\0*+")
"""A hole that a truncation left in a file."""
UNTIL_ELEMENT = re.compile(rb"[^{\]\n]*+")
"""What lies between the elements of a container but should not."""


class KnownEnder:
    """Ends where a real parser has already found the end."""

    is_invalid = False
    yields: Literal["value", "line", "fragment"] = "value"

    def __init__(self, length: int) -> None:
        self._length = length

    def scan(self, data: bytes, position: int, final: bool) -> tuple[Found, int]:
        return Found.END, position + self._length


class ValueEnder:
    """Ends after the bracket that closes the object or array it began with."""

    yields: Literal["value", "line", "fragment"] = "value"

    def __init__(self, indent: int = 0, opened: bytes = b"") -> None:
        """`indent` is that of the line the value begins in; `opened` are brackets already open."""
        self.is_invalid = False
        self._stack = bytearray(opened)
        self._excess = 0
        self._in_string = False
        self._escaped = False
        self._last = opened[-1] if opened else 0
        self._indent = indent
        self._indented: bool | None = None

    def scan(self, data: bytes, position: int, final: bool) -> tuple[Found, int]:
        if self._in_string:
            broken_at = self._leave_string(data, position)
            if broken_at is None:
                return Found.MORE, len(data)
            if self._in_string:
                return Found.BROKEN, broken_at + 1
            position = broken_at
        stack = self._stack
        after_last = position  # where the bytes after the last token begin
        for match in _TOKEN.finditer(data, position):
            start = match.start()
            byte = data[start]
            end = match.end()
            if byte == _QUOTE:
                if end - start == 1:
                    self._in_string = True
                    broken_at = self._leave_string(data, end)
                    if broken_at is None:
                        return Found.MORE, len(data)
                    return Found.BROKEN, broken_at + 1
            elif byte in b"{[":
                if len(stack) < _STACK_MAX:
                    stack.append(byte)
                else:
                    self._excess += 1
            elif byte in b"}]":
                if self._excess:
                    self._excess -= 1
                else:
                    # In ASCII each closing bracket lies two after its opening one.
                    if stack.pop() != byte - 2:
                        self.is_invalid = True
                    if not stack:
                        return Found.END, end
            elif byte == _NEWLINE:
                self._last = _last_byte(data, after_last, start, self._last)
                verdict = self._line_break(data, start, final)
                if verdict is not None:
                    return verdict
                after_last = end
                continue
            else:
                self.is_invalid = True
            self._last = byte
            after_last = end
        self._last = _last_byte(data, after_last, len(data), self._last)
        return Found.MORE, len(data)

    def _leave_string(self, data: bytes, position: int) -> int | None:
        """Where the open string ends or breaks (then still `_in_string`); None: further on."""
        if self._escaped and position < len(data):
            if data[position] == _NEWLINE:
                return position
            self._escaped = False
            position += 1
        match = _IN_STRING.match(data, position)
        position = match.end() if match else position
        if position == len(data):
            return None
        byte = data[position]
        if byte == _QUOTE:
            self._in_string = False
            self._last = _QUOTE
            return position + 1
        if byte == _BACKSLASH and position + 1 == len(data):
            self._escaped = True
            return None
        return position if byte == _NEWLINE else position + 1

    def _line_break(self, data: bytes, at: int, final: bool) -> tuple[Found, int] | None:
        """What the line break at `at`, inside the value, says; None: nothing, go on."""
        begin = at + 1
        if self.is_invalid:
            return Found.BROKEN, begin
        match = _INDENT.match(data, begin)
        text = match.end() if match else begin
        if text == len(data):
            return None if final else (Found.MORE, at)
        first = data[text]
        if first in b"\r\n":
            return None
        if not _may_follow(self._last, self._stack[-1], first):
            return Found.BROKEN, begin
        indent = text - begin
        if self._indented is None:
            self._indented = indent > self._indent
        if indent > self._indent:
            return None
        if self._indented:
            return None if first in b"}]" else (Found.BROKEN, begin)
        if first != _OPEN_OBJECT:
            return None
        end = data.find(b"\n", text)
        if end < 0:
            if not final and len(data) - text <= _WHOLE_LINE_MAX_BYTES:
                return Found.MORE, at
            end = len(data)
        if end - text > _WHOLE_LINE_MAX_BYTES:
            return None
        line = data[text:end].rstrip(_BLANKS)
        # Printers without indentation put an empty object, and nothing else, on one line.
        if line.endswith(b"}") and not _EMPTY_OBJECT.fullmatch(line) and is_whole_object(line):
            return Found.BROKEN, begin
        return None


def _last_byte(data: bytes, begin: int, end: int, otherwise: int) -> int:
    """The last byte of data[begin:end] that is no blank."""
    text = data[begin:end].rstrip(b" \t\r\n")
    return text[-1] if text else otherwise


def _may_follow(last: int, open_bracket: int, first: int) -> bool:
    """Whether `first` can be the first byte after a line break that follows `last`."""
    if last == _OPEN_OBJECT:
        return first in b'"}'
    if last == _OPEN_ARRAY:
        return first == _CLOSE_ARRAY or first in _VALUE_STARTS
    if last == _COMMA:
        return first == _QUOTE if open_bracket == _OPEN_OBJECT else first in _VALUE_STARTS
    if last == _COLON:
        return first in _VALUE_STARTS
    return first in b",}]" or (first == _COLON and last == _QUOTE)
