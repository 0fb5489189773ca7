"""What is in log files, asked for in advance and answered in the order of asking.

`verify` asks for many and judges each when its answer comes, so that several processes can read,
inflate and hash at once (`readers.py`). What it says comes in the order it would say it one file
after the other.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

import msgspec

from opentrail_aggregator.archive.destination import Destination, NoSuchObjectError
from opentrail_aggregator.archive.gzip_member import (
    OBJECT_MAX_BYTES,
    NotOneMemberError,
    read_member,
)

MISSING = "the object is missing"
_ALWAYS: AbstractContextManager[object] = nullcontext()


class _Records(msgspec.Struct):
    Records: list[msgspec.Raw]


_records_decoder = msgspec.json.Decoder(_Records)


class Content(NamedTuple):
    """What is in an object, as it was just read."""

    sha256: str
    """Of the uncompressed bytes; empty if they cannot be had."""
    events: int = 0
    fault: str = ""
    """Why they cannot be had, or why they are no records; without the key."""


class Contents(Protocol):
    """Whoever reads objects."""

    @property
    def is_full(self) -> bool:
        """An answer should be taken before the next is asked for."""
        ...

    def ask(self, key: str) -> None:
        """An answer will be taken."""
        ...

    def answer(self) -> Content:
        """The answer to the oldest question; DestinationError if it cannot be looked at."""
        ...


def content_of(
    destination: Destination, key: str, turn: AbstractContextManager[object] = _ALWAYS
) -> Content:
    """Read one log file and, in `turn`, since it may be large: inflate, hash and count."""
    try:
        stored = destination.read(key)
    except NoSuchObjectError:
        return Content("", fault=MISSING)
    with turn:
        return _measured(stored)


def _measured(stored: bytes) -> Content:
    try:
        data = read_member(stored, OBJECT_MAX_BYTES)
    except NotOneMemberError as error:
        return Content("", fault=str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return Content(sha256, len(_records_decoder.decode(data).Records))
    except msgspec.MsgspecError as error:
        return Content(sha256, fault=f"is no object of records: {error}")


class OneByOne:
    """In this process, when the answer is taken."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._asked: deque[str] = deque()

    @property
    def is_full(self) -> bool:
        return len(self._asked) > 0

    def ask(self, key: str) -> None:
        self._asked.append(key)

    def answer(self) -> Content:
        return content_of(self._destination, self._asked.popleft())


class Findings:
    """Adds to `problems` in order, whatever has to be waited for between them."""

    def __init__(self, contents: Contents, problems: list[str]) -> None:
        self._contents = contents
        self._problems = problems
        self._due: deque[Callable[[Content], str] | list[str]] = deque()

    def say(self, *problems: str) -> None:
        """Behind everything that was said or asked."""
        if self._due:
            self._due.append(list(problems))
        else:
            self._problems += problems

    def look(self, key: str, judge: Callable[[Content], str]) -> None:
        """Ask for a log file; `judge` gives the problem with it, or nothing."""
        while self._due and self._contents.is_full:
            self._settle_one()
        self._contents.ask(key)
        self._due.append(judge)

    def settle(self) -> None:
        """Wait for everything."""
        while self._due:
            self._settle_one()

    def _settle_one(self) -> None:
        due = self._due.popleft()
        if isinstance(due, list):
            self._problems += due
        elif problem := due(self._contents.answer()):
            self._problems.append(problem)
