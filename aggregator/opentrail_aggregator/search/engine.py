"""What an engine of search must be able to do, whichever it is.

The order of answers is eventTime descending, then eventID ascending, then account ascending: total
and the same in every engine, so a cursor is the place of one event in it and nothing else. Events
that arrive while somebody pages fall before or behind the cursor by that order; none is shown
twice, and none that was there is passed over.
"""

import fnmatch
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from opentrail.clock import Clock
from opentrail_aggregator.search.errors import SearchTimeoutError


@dataclass(frozen=True, slots=True)
class Scope:
    """Which accounts and canonical regions a question may see: patterns with `*` and `?`."""

    accounts: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ("*",)

    def allows(self, account: str, region: str) -> bool:
        return any(fnmatch.fnmatchcase(account, each) for each in self.accounts) and any(
            fnmatch.fnmatchcase(region, each) for each in self.regions
        )


EVERYWHERE = Scope()


class Deadline:
    """When a question has taken too long, or nobody waits for its answer any more.

    Engines call `check` between days; what one day costs cannot be interrupted.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ends_at = clock.monotonic() + seconds
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Nobody waits any more; may be called from any thread."""
        self._cancelled.set()

    def check(self) -> None:
        if self._cancelled.is_set():
            raise SearchTimeoutError("the search was cancelled by its caller")
        if self._clock.monotonic() > self._ends_at:
            raise SearchTimeoutError(
                f"the search took longer than {self._seconds:g} s (search.deadline_seconds); ask "
                "for a shorter time, name more fields, or use a cursor and smaller pages"
            )


@dataclass(frozen=True, slots=True)
class Hit:
    """One event found."""

    record: bytes
    """Byte for byte as it was admitted."""
    event_id: str
    """Its own, or the derived one when the record has none."""
    time_s: int
    account: str
    region: str
    """The canonical region."""
    position: int
    """In the log: frame << 16 | ordinal; 0 when it came from an archive of an earlier log."""

    @property
    def order(self) -> tuple[int, bytes, str]:
        return -self.time_s, self.event_id.encode("utf-8", "replace"), self.account


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the answer, in order."""

    hits: list[Hit]
    next_cursor: str | None
    """Hand it in for the next page; None with the last one."""

    @property
    def more(self) -> bool:
        return self.next_cursor is not None


@dataclass(frozen=True, slots=True)
class Buckets:
    """How many events per hour, day or value of a field."""

    buckets: list[tuple[str, int]]
    """Hours and days in order of time, empty ones left out, named `2026-11-24T10:00:00Z`; values
    by count descending, then by value. An event with several values counts once for each."""
    matched: int
    """Events that match, whether they have the field or not."""
    other: int = 0
    """Occurrences of values that fell behind the first `top`."""


@dataclass(frozen=True, slots=True)
class Total:
    """How many events match; at least `count` of them if not `exact`."""

    count: int
    exact: bool


class Engine(Protocol):
    """Questions to one store of events. Every method may be called from any thread."""

    def search(
        self,
        query: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Page:
        """The newest `limit` events from second `start` through second `end`, or those behind
        `cursor`. The times of a search are fixed with its first page: with a cursor, `start` and
        `end` are those it was made with or None."""
        ...

    def count(
        self,
        query: str,
        by: str,
        *,
        start: int | None = None,
        end: int | None = None,
        top: int = 10,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Buckets:
        """Counts by `hour`, `day` or the name of a field."""
        ...

    def total(
        self,
        query: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 10_000,
        scope: Scope = EVERYWHERE,
        deadline: Deadline | None = None,
    ) -> Total:
        """How many events match, counted exactly up to `limit`."""
        ...

    def get(
        self, event_id: str, *, scope: Scope = EVERYWHERE, deadline: Deadline | None = None
    ) -> Sequence[Hit]:
        """Every event with this eventID: one per account and hour it was seen in."""
        ...
