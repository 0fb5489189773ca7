"""From a stream of bytes to whole values, whatever the layout, in bounded memory.

    between values ──"["──► in an array ──"]"──► between values
                   ──'{"Records":['──► in Records ──"]"──► after Records ──"}"──► between values

What comes in is JSON lines, one value after the other (pretty-printed or not), a top-level array,
CloudTrail's {"Records":[...]}, or any mixture; elements of the containers come out as values of
their own. A broken value costs itself only: reading resumes at the next line (in a container also
at the next element) that can begin a value. A value that could not be an event for its size is
hashed and counted, not kept.

The result does not depend on how the stream was cut into chunks. `place` is where reading could
begin anew with the same result: after the last piece handed out. What a piece means (event or
refusal) is not decided here.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from opentrail.limits import EVENT_MAX_BYTES

from .lexer import (
    NUL_RUN,
    UNTIL_ELEMENT,
    Ender,
    Found,
    KnownEnder,
    LineEnder,
    RunEnder,
    ValueEnder,
    is_whole_object,
)
from .pieces import Block, Fragment, FragmentInProgress, Piece, Value, fragment_of
from .runs import cut_elements, first_key

Layout = Literal["lines", "array", "records", "tail"]
"""Between values, in an array, in Records, after the end of Records."""

TAIL_BYTES = 256
"""How much of what was read last is remembered, to know the place again."""

_SEPARATORS = re.compile(rb"[ \t\r\n,]*+")
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_SPACES = re.compile(rb"[ \t]*+")
_RECORDS = re.compile(rb'\{[ \t\r\n]*"Records"[ \t\r\n]*:[ \t\r\n]*\[')
_RECORDS_TEXT = b'{"Records":['
_RECORDS_MAX_BYTES = 4096  # with all its white space
_INDENT_MAX_BYTES = 4096
_LINE_MAX_BYTES = 64 * 1024
_WHITE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading can begin anew."""

    offset: int = 0
    layout: Layout = "lines"


class Splitter:
    """Cuts one content; `feed` bytes, then take `pieces` until there are none."""

    def __init__(
        self,
        place: Place | None = None,
        *,
        count_events: Callable[[bytes], int] | None = None,
        containers: bool = True,
        value_max_bytes: int = EVENT_MAX_BYTES,
    ) -> None:
        """`count_events` is the quick look at a block of lines: how many events, 0 if anything in
        it is none. Without `containers` arrays and Records are values like others."""
        place = place or Place()
        self._count_events = count_events
        self._containers = containers
        self._value_max_bytes = value_max_bytes
        self._layout: Layout = place.layout
        self._data = b""
        self._base = place.offset  # the offset of _data[0]
        self._at = 0  # everything before it is done
        self._ender: Ender | None = None
        self._begin = 0  # where the value of _ender begins
        self._scan = 0  # how far _ender has looked
        self._large: FragmentInProgress | None = None
        self._place = place  # while in a large value: before it
        self._tail = b""  # before _data[0]; while in a large value: before that
        self._indent = 0  # of the line that began before _data[0]
        self._line_start = 0  # of the line of _at; -1: before _data[0]
        self._separated = True  # a comma, or the beginning, before the next element
        self._line_broke = False  # since the last piece
        self._look_closely_before = -1  # no quick look at what begins before this offset

    @property
    def place(self) -> Place:
        """Where reading can begin anew: everything before it has been handed out."""
        if self._large is not None:
            return self._place
        return Place(self._base + self._at, self._layout)

    @property
    def tail(self) -> bytes:
        """The last bytes (TAIL_BYTES at most) before `place`, as far as they were read."""
        if self._large is not None:
            return self._tail
        return (self._tail + self._data[max(0, self._at - TAIL_BYTES) : self._at])[-TAIL_BYTES:]

    def remember_tail(self, tail: bytes) -> None:
        """What lies before the place this splitter began at; right after it was made."""
        self._tail = tail

    @property
    def read_offset(self) -> int:
        """The offset of the next byte to feed."""
        return self._base + len(self._data)

    @property
    def held_bytes(self) -> int:
        """What is kept in memory because its end has not come yet."""
        return len(self._data) - self._at

    @property
    def is_in_large_value(self) -> bool:
        """In the middle of a value that is hashed, not kept: beginning anew would be dear."""
        return self._large is not None

    def feed(self, chunk: bytes) -> None:
        """Append to the stream."""
        done = self._at
        if done:
            if self._large is None:
                self._tail = self.tail
            is_new_line = self._line_start == done == len(self._data)
            self._indent = self._line_indent()
            self._line_start = 0 if is_new_line else -1
        self._data = self._data[done:] + chunk if done < len(self._data) else chunk
        self._base += done
        self._begin -= done
        self._scan -= done
        self._at = 0

    def pieces(self, final: bool = False, more: bool = False) -> Iterator[Piece]:
        """What can be cut now; `final`: the content ends here; `more`: it is known to go on, so
        the beginning of a line can wait for its end."""
        while True:
            if self._ender is None:
                self._skip_separators()
                if self._at == len(self._data) or self._data[self._at] in _WHITE:
                    return
                block = self._quick_look()
                if block is not None:
                    yield block
                    continue
                if more and self._is_line_in_progress():
                    return
                began = self._begin_value(final)
                if began is None:
                    continue
                if not began:
                    return
            assert self._ender is not None
            found, end = self._ender.scan(self._data, self._scan, final)
            if found is Found.MORE and not final:
                resume = self._hold(end)
                if resume is None:
                    return
                found, end = Found.BROKEN, resume
            yield self._end_value(found, end)

    # Many values at once.

    def _quick_look(self) -> Block | None:
        data, at = self._data, self._at
        offset = self._base + at
        if (
            self._count_events is None
            or offset < self._look_closely_before
            or not data.startswith(b"{", at)
        ):
            return None
        if self._layout == "lines":
            end = data.rfind(b"\n", at) + 1
            block = data[at:end]
        elif self._layout != "tail" and self._separated:
            cut = cut_elements(data, at)
            block, end = cut if cut is not None else (b"", len(data))
        else:
            return None
        count = self._count_events(block) if block else 0
        if not count:
            self._look_closely_before = self._base + end
            return None
        self._finish(end, is_whole=True)
        return Block(offset, block, count, self._base + end)

    def _is_line_in_progress(self) -> bool:
        return (
            self._layout == "lines"
            and self.held_bytes <= _LINE_MAX_BYTES
            and self._data.find(b"\n", self._at) < 0
        )

    # The beginning of a value.

    def _begin_value(self, final: bool) -> bool | None:
        """Find the way to the end of what begins here.

        False: more bytes are needed; None: something was stepped over, look again.
        """
        if self._base + self._at == 0 and _BOM.startswith(self._data[:3]):
            if len(self._data) < len(_BOM) and not final:
                return False
            self._advance(min(len(_BOM), len(self._data)))
            return None
        byte = self._data[self._at]
        if self._layout == "lines":
            return self._begin_between(byte, final)
        return (
            self._begin_after_records(byte)
            if self._layout == "tail"
            else (self._begin_element(byte, final))
        )

    def _begin_between(self, byte: int, final: bool) -> bool | None:
        if byte == 0x7B:  # {
            return self._begin_object(final)
        if byte == 0x5B and self._containers:  # [
            return self._enter("array", self._at + 1)
        return self._start(RunEnder(NUL_RUN) if byte == 0 else LineEnder())

    def _begin_element(self, byte: int, final: bool) -> bool | None:
        if byte == 0x5D:  # ]
            return self._enter("tail" if self._layout == "records" else "lines", self._at + 1)
        if byte == 0x5B:
            return self._enter("array", self._at + 1)
        if byte != 0x7B:
            return self._start(RunEnder(UNTIL_ELEMENT))
        if not self._separated and self._line_broke:
            # Elements follow each other by a comma. This container was torn and lines go on.
            return self._enter("lines", self._at)
        return self._begin_object(final)

    def _begin_after_records(self, byte: int) -> bool | None:
        """After the `]` of Records: its `}`, or further members, which belong to no record."""
        if byte == 0x2C:  # ,
            return self._start(ValueEnder(self._line_indent(), opened=b"{"))
        return self._enter("lines", self._at + (byte == 0x7D))  # }

    def _begin_object(self, final: bool) -> bool | None:
        data, at = self._data, self._at
        if self._containers:
            beginning = data[at : at + _RECORDS_MAX_BYTES]
            text = beginning.translate(None, _WHITE)
            match = _RECORDS.match(beginning) if text.startswith(_RECORDS_TEXT) else None
            if match is not None:
                return self._enter("records", at + match.end())
            is_short = len(beginning) < _RECORDS_MAX_BYTES
            if is_short and not final and _RECORDS_TEXT.startswith(text):
                return False
        end = data.find(b"\n", at) if self._layout == "lines" else -1
        if end > 0:
            line = data[at:end].rstrip(_WHITE)
            if line.endswith(b"}") and is_whole_object(line):
                return self._start(KnownEnder(len(line)))
        return self._start(ValueEnder(self._line_indent()))

    def _enter(self, layout: Layout, at: int) -> bool | None:
        self._advance(at)
        self._layout = layout
        self._separated = True
        self._look_closely_before = -1  # That was about the other layout.
        return None

    def _start(self, ender: Ender) -> bool:
        self._ender = ender
        self._begin = self._scan = self._at
        return True

    def _skip_separators(self) -> None:
        pattern = _BLANKS if self._layout == "tail" else _SEPARATORS
        match = pattern.match(self._data, self._at)
        end = match.end() if match else self._at
        if end == self._at:
            return
        if self._data.find(b",", self._at, end) >= 0:
            self._separated = True
        if self._data.find(b"\n", self._at, end) >= 0:
            self._line_broke = True
        if end == len(self._data):
            # The indentation of the next line may go on in the next chunk.
            newline = self._data.rfind(b"\n", self._at, end)
            if newline >= 0 and 1 < end - newline < _INDENT_MAX_BYTES:
                end = newline
        self._advance(end)

    # The end of a value.

    def _end_value(self, found: Found, end: int) -> Piece:
        ender, self._ender = self._ender, None
        assert ender is not None
        is_whole = found is Found.END and not ender.is_invalid
        if found is Found.BROKEN and self._data[end - 1 : end] == b"\n":
            end -= 1
        if self._large is not None:
            return self._end_large(is_whole, ender, end)
        begin = self._begin
        if not is_whole and self._layout in ("array", "records"):
            end = self._next_element(begin, end)
        data = self._data[begin:end]
        self._finish(end, is_whole)
        if is_whole and len(data) > self._value_max_bytes:
            return fragment_of(self._base + begin, data, "too_large", f"{len(data)} bytes")
        if not is_whole or ender.yields == "fragment":
            return self._fragment(begin, data, ender)
        if ender.yields == "line":
            data = data.rstrip(_WHITE)
        return Value(self._base + begin, data, self._base + end)

    def _fragment(self, begin: int, data: bytes, ender: Ender) -> Fragment:
        if ender.yields == "fragment":
            detail = "NUL bytes" if data.startswith(b"\0") else "between the records"
        else:
            detail = "torn or malformed"
        return fragment_of(self._base + begin, data, "not_json", detail)

    def _end_large(self, is_whole: bool, ender: Ender, end: int) -> Piece:
        assert self._large is not None
        self._large.add(self._data[self._at : end])
        large, self._large = self._large, None
        self._tail = b""  # What was before the large value is not before what follows it.
        self._finish(end, is_whole)
        if is_whole:
            return large.finish("too_large", f"larger than {self._value_max_bytes} bytes")
        detail = "NUL bytes" if ender.yields == "fragment" else "torn or malformed"
        return large.finish("not_json", detail)

    def _finish(self, end: int, is_whole: bool) -> None:
        self._advance(end)
        # A broken element may have taken its comma with it.
        self._separated = not is_whole
        self._line_broke = False
        if self._layout == "tail":
            self._layout = "lines"

    def _next_element(self, begin: int, end: int) -> int:
        """Where the element after a broken one begins, `end` if not before that.

        The elements of a container begin with the same key, which a missing quote cannot hide.
        """
        key = first_key(self._data, begin)
        if key is None:
            return end
        start = re.compile(rb"[,\n][ \t\r\n]*+(\{[ \t\r\n]*+" + re.escape(key) + rb")")
        match = start.search(self._data, begin + 1, end)
        return match.start(1) if match else end

    def _hold(self, scanned: int) -> int | None:
        """The end has not come. Keep the bytes, or from a certain size on only their hash.

        Returns where reading resumes if the value is broken and the next one is in sight.
        """
        assert self._ender is not None
        self._scan = scanned
        if self._large is None:
            if scanned - self._begin <= self._value_max_bytes:
                return None
            if self._ender.is_invalid and self._layout in ("array", "records"):
                resume = self._next_element(self._begin, scanned)
                if resume < scanned:
                    return resume
            self._tail, self._place = self.tail, self.place
            self._large = FragmentInProgress(self._base + self._begin)
        self._large.add(self._data[self._at : scanned])
        self._advance(scanned)
        return None

    # Where we are.

    def _advance(self, to: int) -> None:
        newline = self._data.rfind(b"\n", self._at, to)
        if newline >= 0:
            self._line_start = newline + 1
        self._at = to

    def _line_indent(self) -> int:
        """How far the line of the current place is indented."""
        if self._line_start < 0:
            return self._indent
        match = _SPACES.match(self._data, self._line_start)
        return match.end() - self._line_start if match else 0
