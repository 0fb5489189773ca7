"""An HTTP port over fakes: an engine that answers from a list, stores that say what they are told.

The engine knows `*`, `boom` (a fault), `wrong` (a query error), `slow` (until it is cancelled),
`breaks` (behind its first page). The client has the home's first key, an admin for everything.
"""

import base64
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from opentrail.batch import batch_events
from opentrail.clock import SystemClock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.access.first_key import ensure_first_key
from opentrail_aggregator.access.key_file import read_key_file
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.access.scope import Scope as KeyScope
from opentrail_aggregator.api.arrivals import Arrived
from opentrail_aggregator.api.server import ApiServer
from opentrail_aggregator.archive_source import destination_of
from opentrail_aggregator.config import load
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.search.engine import (
    EVERYWHERE,
    Buckets,
    Deadline,
    Hit,
    Page,
    Scope,
    Total,
)
from opentrail_aggregator.search.errors import QueryError, SearchTimeoutError
from opentrail_aggregator.status.sums import Figures, Judged, Sink


class ListEngine:
    """Answers from a list of hits, newest first; the cursor is a place in it."""

    def __init__(self, hits: Sequence[Hit] = ()) -> None:
        self.hits = list(hits)
        self.asked: list[dict[str, Any]] = []
        self.scopes: list[Scope] = []
        self.started = threading.Event()
        self.cancelled = threading.Event()

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
        self.asked.append(
            {"query": query, "start": start, "end": end, "limit": limit, "cursor": cursor}
        )
        self.scopes.append(scope)
        self._behave(query, deadline)
        place = int(cursor or 0)
        if query == "breaks" and place:
            raise SearchTimeoutError("took too long")
        found = self.hits[place : place + limit]
        more = place + limit < len(self.hits)
        return Page(found, str(place + limit) if more else None)

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
        self.scopes.append(scope)
        return Buckets([("GetObject", 2), ("PutObject", 1)][:top], matched=3)

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
        self.scopes.append(scope)
        self._behave(query, deadline)
        return Total(len(self.hits), True)

    def get(
        self, event_id: str, *, scope: Scope = EVERYWHERE, deadline: Deadline | None = None
    ) -> Sequence[Hit]:
        self.scopes.append(scope)
        return [hit for hit in self.hits if hit.event_id == event_id]

    def _behave(self, query: str, deadline: Deadline | None) -> None:
        if query == "boom":
            raise ZeroDivisionError("a secret of the implementation")
        if query == "wrong AND":
            raise QueryError('nothing after "AND"', query, 6, 9)
        if query == "slow":
            assert deadline is not None
            self.started.set()
            clock = SystemClock()
            try:
                while True:
                    deadline.check()
                    clock.pause(0.01)
            finally:
                self.cancelled.set()


class ToldStores:
    """Counts whatever a test says."""

    def __init__(self, figures: Figures) -> None:
        self.told = figures
        self.counts = 0

    def figures(self, *, recount: bool = False) -> Figures:
        self.counts += 1
        return self.told


class ListArrivals:
    """New events are what a test appends."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.scopes: list[Scope] = []

    def through(self) -> int:
        return max((each.position for each in self.hits), default=0)

    def since(
        self, query: str, after: int, limit: int, scope: Scope, deadline: Deadline
    ) -> Arrived:
        self.scopes.append(scope)
        return Arrived([each for each in self.hits if each.position > after], self.through())


def hit(number: int, **members: object) -> Hit:
    """An event; the spaces in its record are there to be kept."""
    event_id = f"{number:08x}-0000-4000-8000-000000000000"
    record = {
        "eventTime": "2026-11-24T10:00:00Z",
        "eventName": "GetObject",
        "eventSource": "s3.amazonaws.com",
        "eventID": event_id,
        **members,
    }
    line = json.dumps(record).replace('": ', '" :  ').encode()
    return Hit(line, event_id, 1_795_514_400 - number, "111122223333", "eu-west-1", number << 16)


def figures(**changes: Any) -> Figures:
    """Sums that agree: 100 received, 90 kept, 4 copies, 6 in quarantine."""
    values: dict[str, Any] = {
        "position": 9,
        "received": 100,
        "judged": Judged(9, 90, 4, 6),
        "received_judged": 100,
        "quarantined": 6,
        "index": Sink("index", 9, 90, done=88, aside=2),
        "archive": Sink("archive", 8, 85, done=80, aside=0, staged=5),
    }
    return Figures(**values | changes)


class Log:
    """Where own events go; `refuses` makes it say no."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.batches: list[tuple[str, int]] = []
        self.refuses = ""

    def submit(self, agent: str, payload: bytes) -> int:
        if self.refuses:
            raise OpenTrailError(self.refuses)
        lines = batch_events(payload).splitlines()
        self.lines += lines
        self.batches.append((agent, len(lines)))
        return len(self.batches)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def names(self) -> list[str]:
        return [each["eventName"] for each in self.records]


def basic(home: Path, role: str = "admin", **scope: tuple[str, ...]) -> dict[str, str]:
    """A new key of `home`, as a header."""
    key, secret = KeyStore(home / "keys", SystemClock()).create(role, KeyScope(**scope))
    return header_of(key.id, secret)


def header_of(key_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{key_id}:{secret}'.encode()).decode()}"}


def url_of(client: aiohttp.ClientSession) -> str:
    """Where the port of `client` is, for clients without its key."""
    return str(client._base_url).rstrip("/")


@contextlib.asynccontextmanager
async def serving(
    home: Path,
    engine: ListEngine | None = None,
    stores: ToldStores | None = None,
    arrivals: "ListArrivals | None" = None,
    log: Log | None = None,
    changes: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[aiohttp.ClientSession, ApiServer]]:
    """A client of a port that is open inside the block; `changes` of settings."""
    overrides = {"home": str(home), "http.listen": "127.0.0.1:0", **(changes or {})}
    settings = load(None, overrides)
    clock = SystemClock()
    ensure_first_key(settings.place.keys, clock)
    first = read_key_file(settings.place.keys / "local.json")
    server = ApiServer(
        settings.place,
        settings,
        clock,
        Metrics("api", clock),
        engine or ListEngine(),
        stores or ToldStores(figures()),
        arrivals or ListArrivals(),
        destination_of(settings),
        submit=(log or Log()).submit,
    )
    async with (
        server.serving() as url,
        aiohttp.ClientSession(url, headers=header_of(first.id, first.secret)) as client,
    ):
        yield client, server
