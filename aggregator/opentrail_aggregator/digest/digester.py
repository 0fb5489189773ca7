"""The digester's role: closes windows, signs, delivers, remembers the head; beside the archive.

    inbox ─→ intent (signed, staged, durable) ─→ put ─→ head ─→ inbox cleared
             digest.signed                 digest.put  digest.cursor        (crash points)

A window is closed once the archive says that nothing delivered in it can still come, so a digest is
final. What comes for a closed window all the same (a clock set back, an archive made again) goes
into a backfill digest, unless the digest of its window lists it already.

One step is one digest at most; what may wait for a server runs in a thread beside.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.destination import Destination, DestinationError
from opentrail_aggregator.digest.inbox import ChainId, Delivered, Inbox
from opentrail_aggregator.digest.keys import DigestKeys
from opentrail_aggregator.digest.late import not_listed
from opentrail_aggregator.digest.requests import Request, read_requests, remove_request
from opentrail_aggregator.digest.settings import DigestSettings
from opentrail_aggregator.digest.signing import sign_digest
from opentrail_aggregator.digest.state import ChainFolder, ChainState
from opentrail_aggregator.digest.windows import grid_floor, is_over_at, window_end
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics

PROBLEM = "digest.destination"
LOOK_SECONDS = 0.5
PAUSE_SECONDS = 10.0
_SECOND = 1_000_000_000


class Beginning(NamedTuple):
    """The first sign of a chain."""

    chain: ChainId
    bucket: str
    root: str
    since_s: int


@dataclass(slots=True)
class _Work:
    """Something that may have to wait for a server, and what to do with its result."""

    chain: ChainState
    future: "Future[Any]"
    land: Callable[[Any], None]


class Digester:
    """See above. `delivered_through` gives the time (ns) before which every cut is delivered;
    `cut_open` asks the archive to cut what is open and says whether that is done; `beginnings`
    says since when events wait for a chain: it begins with its first event."""

    name = "digest"

    def __init__(
        self,
        home: Home,
        settings: DigestSettings,
        clock: Clock,
        metrics: Metrics,
        *,
        keys: DigestKeys,
        inbox: Inbox,
        destination_of: Callable[[str], Destination],
        delivered_through: Callable[[], int],
        cut_open: Callable[[], bool] = lambda: True,
        beginnings: Callable[[], Iterable[Beginning]] = tuple,
        files: Files = DISK,
    ) -> None:
        self._home, self._clock, self._metrics, self._files = home, clock, metrics, files
        self._interval_s = int(settings.interval)
        self._keys = keys
        self._inbox = inbox
        self._destination_of = destination_of
        self._delivered_through = delivered_through
        self._cut_open = cut_open
        self._beginnings = beginnings
        self._folder = ChainFolder(home.digest, files)
        self._chains: dict[tuple[ChainId, bool], ChainState] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._work: _Work | None = None
        self._paused: dict[str, float] = {}
        self._moments: dict[str, int] = {}
        """Of requests whose cuts are made: up to when they mean."""
        self._look_at = 0.0

    @property
    def chains(self) -> list[ChainState]:
        """Where every chain stands."""
        return list((self._chains or {}).values())

    def step(self) -> bool:
        """A little work; True if there may be more at once."""
        if self._chains is None:
            self._chains = self._open()
        if self._work is not None:
            return self._land()
        if self._clock.monotonic() < self._look_at:
            return False
        if self._begin():
            return True
        self._look_at = self._clock.monotonic() + LOOK_SECONDS
        return False

    def close(self) -> None:
        """Stop; a digest under way is an intent and goes on at the next start."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _open(self) -> dict[tuple[ChainId, bool], ChainState]:
        chains = {(each.chain, each.backfill): each for each in self._folder.read_all()}
        for chain in chains.values():
            # Committed before a crash, and not cleared.
            for name in chain.head.entries if chain.head else []:
                self._inbox.remove(name)
        self._folder.clear({each.intent.staged.file for each in chains.values() if each.intent})
        return chains

    # What is due.

    def _begin(self) -> bool:
        """Start the next piece of work; False if nothing is due."""
        assert self._chains is not None
        entries = self._by_chain()
        requests = list(self._requests())
        through_s = self._delivered_through() // _SECOND
        oldest_due = through_s
        begun = False
        for chain in list(self._chains.values()):
            if self._paused and self._paused.get(chain.name, 0.0) > self._clock.monotonic():
                continue
            if chain.intent is None and not chain.backfill:
                begun = self._plan(chain, entries.get(chain.chain, []), requests, through_s)
            if chain.intent is not None:
                oldest_due = min(oldest_due, chain.intent.end_s)
                self._put(chain)
                begun = True
            if begun:
                break
        self._metrics.set("opentrail_digest_lag_seconds", max(0, through_s - oldest_due))
        if not begun:
            self._finish_requests(requests, through_s)
        return begun

    def _by_chain(self) -> dict[ChainId, list[Delivered]]:
        """What waits, each chain's in order; chains that are new or begin again are taken up."""
        assert self._chains is not None
        found: dict[ChainId, list[Delivered]] = {}
        for entry in self._inbox.entries:
            found.setdefault(entry.chain, []).append(entry)
        for begin in self._beginnings():
            self._begin_chain(begin)
        for chain_id, entries in found.items():
            first = entries[0]
            self._begin_chain(Beginning(chain_id, first.bucket, first.root, first.delivered_at_s))
            chain = self._chains[chain_id, False]
            if chain.ended:
                again = [each for each in entries if each.delivered_at_s >= chain.window_start_s]
                if again:
                    begin_s = grid_floor(again[0].delivered_at_s, self._interval_s)
                    chain.ended, chain.chained = False, False
                    chain.window_start_s = max(chain.window_start_s, begin_s)
        return found

    def _begin_chain(self, begin: Beginning) -> None:
        """Make the chain, or move its beginning as long as it has no digest."""
        assert self._chains is not None
        start_s = grid_floor(begin.since_s, self._interval_s)
        chain = self._chains.get((begin.chain, False))
        if chain is None:
            self._chains[begin.chain, False] = ChainState(
                trail=begin.chain.trail, account=begin.chain.account, region=begin.chain.region,
                root=begin.root, bucket=begin.bucket, window_start_s=start_s,
            )  # fmt: skip
        elif not chain.runs and chain.intent is None:
            chain.window_start_s = min(chain.window_start_s, start_s)

    def _plan(
        self, chain: ChainState, entries: list[Delivered], requests: list[Request], through_s: int
    ) -> bool:
        """Close the chain's window if it is over; True if late entries are being looked at."""
        late = [each for each in entries if each.delivered_at_s < chain.window_start_s]
        beside = self._beside(chain)
        if late and (beside is None or beside.intent is None):  # One backfill after the other.
            self._look_at_late(chain, late)
            return True
        if chain.ended:
            return False
        end_s, final = window_end(chain, self._interval_s, requests)
        if end_s > through_s:
            return False
        self._intend(chain, [each for each in entries if each.delivered_at_s < end_s], end_s, final)
        return False

    def _intend(self, chain: ChainState, entries: list[Delivered], end_s: int, final: bool) -> None:
        signer = self._keys.key_for(chain.region, end_s)
        intent, stored = sign_digest(
            chain, entries, signer, chain.window_start_s, end_s, final=final
        )
        if entries:
            chain.root, chain.bucket = entries[-1].root, entries[-1].bucket
        self._folder.stage(intent.staged.file, stored)
        chain.intent = intent
        self._folder.save(chain)
        crash_point("digest.signed")

    def _beside(self, chain: ChainState) -> ChainState | None:
        """The backfill digests of the chain."""
        assert self._chains is not None
        return self._chains.get((chain.chain, True))

    # Putting.

    def _put(self, chain: ChainState) -> None:
        intent = chain.intent
        assert intent is not None
        destination = self._destination_of(intent.bucket)
        path = self._folder.staged_path(intent.staged.file)

        def put() -> bool:
            return destination.put_if_absent(intent.staged.key, path, intent.staged.info)

        self._start(chain, destination, put, lambda _: self._commit(chain))

    def _commit(self, chain: ChainState) -> None:
        crash_point("digest.put")
        intent = chain.intent
        assert intent is not None
        chain.commit()
        self._folder.save(chain)
        crash_point("digest.cursor")
        for name in intent.entries:
            self._inbox.remove(name)
        self._folder.unstage(intent.staged.file)
        self._metrics.increment("opentrail_digest_signed_total")

    # What came too late.

    def _look_at_late(self, chain: ChainState, late: list[Delivered]) -> None:
        destination = self._destination_of(chain.bucket)
        self._start(
            chain,
            destination,
            lambda: [(each, not_listed(destination, chain, each)) for each in late],
            lambda found: self._backfill(chain, found),
        )

    def _backfill(self, chain: ChainState, found: list[tuple[Delivered, list[Any]]]) -> None:
        """A backfill digest of what no digest lists; the rest is done."""
        assert self._chains is not None
        for entry, missing in found:
            if not missing:
                self._inbox.remove(entry.name)
        entries = [
            msgspec.structs.replace(entry, files=missing) for entry, missing in found if missing
        ]
        if not entries:
            return
        beside = self._chains.setdefault(
            (chain.chain, True),
            ChainState(
                trail=chain.trail, account=chain.account, region=chain.region, backfill=True,
                root=chain.root, bucket=chain.bucket, window_start_s=0,
            ),
        )  # fmt: skip
        start_s = entries[0].delivered_at_s
        end_s = max(entries[-1].delivered_at_s, beside.head.end_s if beside.head else 0) + 1
        now_s = self._clock.now_ns() // _SECOND
        intent, stored = sign_digest(
            beside, entries, self._keys.key_for(chain.region, now_s), start_s, end_s,
            generated_s=now_s,
        )  # fmt: skip
        self._folder.stage(intent.staged.file, stored)
        beside.intent = intent
        self._folder.save(beside)
        self._metrics.increment("opentrail_digest_backfilled_total", len(entries))
        crash_point("digest.signed")

    # Work that may wait for a server.

    def _start(
        self,
        chain: ChainState,
        destination: Destination,
        work: Callable[[], Any],
        land: Callable[[Any], None],
    ) -> None:
        if destination.blocks:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="digest")
            future = self._pool.submit(work)
        else:
            future = Future()
            try:
                future.set_result(work())
            except DestinationError as error:
                future.set_exception(error)
        self._work = _Work(chain, future, land)

    def _land(self) -> bool:
        work = self._work
        assert work is not None
        if not work.future.done():
            return False
        self._work = None
        error = work.future.exception()
        if error is None:
            work.land(work.future.result())
            self._paused.pop(work.chain.name, None)
            if not self._paused:
                self._metrics.healed(PROBLEM)
        elif isinstance(error, DestinationError):
            self._metrics.increment("opentrail_digest_retries_total", reason=error.reason)
            self._metrics.problem(PROBLEM, f"a digest is not delivered and waits: {error}")
            self._paused[work.chain.name] = self._clock.monotonic() + PAUSE_SECONDS
        else:
            raise error
        return True

    # Wishes.

    def _requests(self) -> Iterator[Request]:
        for request in read_requests(self._home, self._files):
            if request.at_s:
                yield request
                continue
            if request.name not in self._moments and self._cut_open():
                self._moments[request.name] = self._clock.now_ns() // _SECOND + 1
            if request.name in self._moments:
                yield msgspec.structs.replace(request, at_s=self._moments[request.name])

    def _finish_requests(self, requests: list[Request], through_s: int) -> None:
        assert self._chains is not None
        for request in requests:
            if request.at_s > through_s:
                continue
            normal = [each for each in self._chains.values() if not each.backfill]
            if request.kind == "end":
                self._end_idle(normal, request)
            if all(is_over_at(each, request) for each in normal):
                remove_request(self._home, request.name, self._files)
                self._moments.pop(request.name, None)

    def _end_idle(self, chains: list[ChainState], request: Request) -> None:
        """Chains whose last window closed at the stop or behind it have no more to say."""
        for chain in chains:
            if chain.trail != request.trail or chain.ended or not chain.runs:
                continue
            if chain.runs[-1].start_s < request.at_s <= chain.window_start_s and not chain.intent:
                chain.ended, chain.chained = True, False
                self._folder.save(chain)
