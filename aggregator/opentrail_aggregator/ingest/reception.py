"""Where all streams meet: numbers, room and turns, and what to answer.

A *place* belongs to one (agent, epoch) and outlives its stream, because batches may be on their way
to the log when the agent reconnects. A *visit* is one stream at a place; the newest counts: an
agent that comes back while its old connection seems alive is the normal case. Two machines with one
epoch look like that too, but they keep displacing each other, or number different batches (FORK).

Everything here is called in the event loop and nothing waits; `stream` does the reading and
writing, `committer` brings the outcomes.
"""

from collections.abc import Callable
from functools import partial

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.limits import BATCH_MAX_BYTES
from opentrail.v1.ingest_pb2 import Batch, Heartbeat, Hello, Welcome
from opentrail_aggregator.ingest.admission import (
    PROTOCOL,
    AcknowledgeAgain,
    Append,
    Code,
    Lane,
    PassOver,
    Refuse,
    check_hello,
    inspect_batch,
    missing_numbers,
)
from opentrail_aggregator.ingest.committer import Committer
from opentrail_aggregator.ingest.heartbeat import (
    ended_imports,
    heartbeat_frame,
    import_ended_frame,
    status_row,
)
from opentrail_aggregator.ingest.latency import Latencies
from opentrail_aggregator.ingest.ledger import Ledger
from opentrail_aggregator.ingest.peer import Peer
from opentrail_aggregator.ingest.settings import IngestSettings
from opentrail_aggregator.ingest.visits import DISPLACED_MAX, Answers, Beliefs, Place, Visit
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.wal.log import BatchMeta, LogError, NewFrame, batch_frame

ALARM_SECONDS = 600.0
DISPLACED_SECONDS = 60.0
ENDS_THE_STREAM = frozenset({Code.FORK, Code.WRONG_LOG, Code.NOT_ALLOWED, Code.BAD_PROTOCOL})


class Reception:
    """Decides with `admission`, keeps the books with the ledger, hands on to the committer."""

    def __init__(
        self,
        settings: IngestSettings,
        beliefs: Beliefs,
        ledger: Ledger,
        committer: Committer,
        refusal_for_room: Callable[[int, bool], str],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.places: dict[tuple[str, str], Place] = {}
        self.settings = settings
        self._beliefs = beliefs
        self.latencies = Latencies()
        self._ledger = ledger
        self._committer = committer
        self._room = refusal_for_room
        self._clock = clock
        self._metrics = metrics
        self._ended: dict[tuple[str, str, str, str], None] = {}
        self._alarms: dict[str, float] = {}

    # Coming and going.

    def greet(self, hello: Hello, peer: Peer, answers: Answers) -> Refuse | Visit:
        """Let an agent in, or say why not."""
        ledger = self._ledger
        objection = self._beliefs.objection(peer)
        if objection:
            self._metrics.increment("opentrail_ingest_revoked_total")
            return self._counted(Refuse(Code.NOT_ALLOWED, objection))
        checked = check_hello(hello, peer.names, ledger.log_ids, self._beliefs.grants)
        if isinstance(checked, Refuse):
            return self._counted(checked)
        agent, epoch = hello.agent, hello.epoch.hex()
        is_known = ledger.find(agent, epoch) is not None
        if not is_known and ledger.epochs_of(agent) >= self.settings.epochs_max:
            return self._counted(
                Refuse(
                    Code.NOT_ALLOWED,
                    f"agent {agent} has begun {ledger.epochs_of(agent)} numberings "
                    "(ingest.epochs_max): does it lose its spool at every start?",
                )
            )
        place = self.place(agent, epoch)
        missing = missing_numbers(hello, ledger.log_id, is_known, place.lane.taken)
        if missing:
            self._alarm(f"ingest.missing.{agent}", missing)
        now = self._clock.monotonic()
        visit = Visit(
            place, checked, answers, peer, hello.machine[:128], hello.host[:255],
            hello.version[:64], now, now,
        )  # fmt: skip
        self._notice_twins(visit)
        if place.visit is not None:
            self._displace(place, place.visit, visit)
        place.visit = visit
        place.lane.refused_at = 0
        return visit

    def welcome(self, visit: Visit) -> Welcome:
        """What an agent needs to know to begin."""
        return Welcome(
            protocol=PROTOCOL,
            log_id=self._ledger.log_id,
            follows=self._ledger.follows,
            acknowledged_through=visit.place.lane.durable,
            archived_through=self.archived_through(visit),
            batch_max_bytes=BATCH_MAX_BYTES,
            window=self.settings.window,
        )

    def archived_through(self, visit: Visit) -> int:
        """The last number of an agent's epoch that is known to be in the archive."""
        return self._ledger.archived.through(visit.place.lane.agent, visit.place.lane.epoch)

    def leave(self, visit: Visit) -> None:
        """The stream has ended."""
        visit.is_over = True
        if visit.place.visit is visit:
            visit.place.visit = None
            self._tidy(visit.place)

    def visits(self) -> list[Visit]:
        """Everybody who is here."""
        return [place.visit for place in self.places.values() if place.visit is not None]

    def place(self, agent: str, epoch: str) -> Place:
        """The place of an epoch, made if nobody is there."""
        place = self.places.get((agent, epoch))
        if place is None:
            held = self._ledger.find(agent, epoch)
            lane = Lane(
                agent,
                epoch,
                held.last if held else 0,
                held is None,
                partial(self._ledger.digest, agent, epoch),
            )
            place = self.places[(agent, epoch)] = Place(lane)
        return place

    # What agents send.

    def batch(self, visit: Visit, batch: Batch) -> None:
        """Take a batch, acknowledge it again, or refuse it."""
        crash_point("ingest.received")
        lane = visit.place.lane
        sequence, digest, payload = batch.sequence, batch.digest, batch.payload
        head = inspect_batch(sequence, digest, payload)
        if isinstance(head, Refuse):
            if head.code not in ENDS_THE_STREAM:
                head = lane.refuse(head.code, sequence, head.message)
            self._refuse(visit, head)
            return
        decision = lane.admit(sequence, digest)
        if isinstance(decision, Append):
            full = self._room(len(payload), False)
            if full:
                self._refuse(visit, lane.refuse(Code.FULL, sequence, full))
                return
            lane.took(sequence, digest)
            meta = BatchMeta(lane.agent, lane.epoch, sequence, digest.hex(), visit.grant.agent)
            frame = batch_frame(meta, payload, head.events, head.refused)
            outcome = partial(
                self._outcome, visit.place, sequence, digest, frame, self._clock.monotonic()
            )
            self._committer.put(lane.agent, frame, outcome)
        elif isinstance(decision, AcknowledgeAgain):
            self._metrics.increment("opentrail_ingest_resent_total")
            visit.answers.acknowledge(decision.through)
        elif isinstance(decision, Refuse):
            self._refuse(visit, decision)
        elif isinstance(decision, PassOver):
            self._metrics.increment("opentrail_ingest_refusals_total", code="passed_over")

    def heartbeat(self, visit: Visit, heartbeat: Heartbeat) -> None:
        """Put what the log needs of a heartbeat behind the batches that came before it."""
        place, lane = visit.place, visit.place.lane
        now = self._clock.monotonic()
        place.heartbeat = status_row(heartbeat)
        for source in ended_imports(heartbeat):
            key = (lane.agent, lane.epoch, source.name, source.generation)
            if key not in self._ended:
                frame = import_ended_frame(lane.agent, lane.epoch, heartbeat.sequence, source)
                place.ending[key[2:]] = (heartbeat.sequence, frame)
        self._end_imports(place)
        if now - visit.heartbeat_at < self.settings.heartbeat_min_interval:
            self._metrics.increment("opentrail_ingest_refusals_total", code="heartbeat_too_soon")
            return
        visit.heartbeat_at = now
        frame = heartbeat_frame(lane.agent, lane.epoch, heartbeat, self._clock.now_ns())
        full = self._room(frame.size, True)
        if full:
            self._metrics.increment("opentrail_ingest_refusals_total", code="heartbeat_full")
            return
        self._committer.put(lane.agent, frame, self._heartbeat_outcome)

    # Outcomes.

    def _outcome(
        self,
        place: Place,
        sequence: int,
        digest: bytes,
        frame: NewFrame,
        received_at: float,
        position: int,
        error: LogError | None,
    ) -> None:
        lane, visit = place.lane, place.visit
        if error is not None:
            lowest = lane.failed()
            if visit is not None and lowest:
                self._refuse(visit, lane.refuse(Code.FULL, lowest, str(error)))
            self._tidy(place)
            return
        self._ledger.book(position, self._clock.now_ns(), lane.agent, lane.epoch, sequence, digest)
        lane.became_durable(sequence)
        if visit is not None:
            visit.answers.acknowledge(lane.durable)
        now = self._clock.monotonic()
        self.latencies.add(now, now - received_at)
        metrics = self._metrics
        metrics.increment("opentrail_ingest_batches_total")
        metrics.increment("opentrail_ingest_events_total", frame.events + frame.refused)
        metrics.increment("opentrail_ingest_bytes_total", len(frame.payload))
        if place.ending:
            self._end_imports(place)
        self._tidy(place)

    def _heartbeat_outcome(self, position: int, error: LogError | None) -> None:
        if error is not None:
            self._metrics.increment("opentrail_ingest_refusals_total", code="heartbeat_failed")

    def _end_imports(self, place: Place) -> None:
        """Say in the log that an import is done, once its last batch is in it."""
        lane = place.lane
        for key, (sequence, frame) in list(place.ending.items()):
            if sequence <= lane.durable:
                del place.ending[key]
                self._ended[(lane.agent, lane.epoch, *key)] = None
                outcome = partial(self._ended_outcome, place, key, sequence, frame)
                self._committer.put(lane.agent, frame, outcome)
        while len(self._ended) > 10_000:  # Saying it twice does no harm.
            del self._ended[next(iter(self._ended))]

    def _ended_outcome(
        self,
        place: Place,
        key: tuple[str, str],
        sequence: int,
        frame: NewFrame,
        position: int,
        error: LogError | None,
    ) -> None:
        if error is not None:
            place.ending[key] = (sequence, frame)

    def retry_endings(self) -> None:
        """After the log failed: say again what it did not take."""
        for place in list(self.places.values()):
            if place.ending:
                self._end_imports(place)

    # Refusals.

    def _refuse(self, visit: Visit, refusal: Refuse) -> None:
        self._counted(refusal)
        agent = visit.place.lane.agent
        if refusal.code == Code.FORK:
            self._alarm(f"ingest.fork.{agent}", refusal.message)
        visit.answers.refuse(refusal)
        if refusal.code in ENDS_THE_STREAM:
            visit.is_over = True
            visit.answers.close()

    def _alarm(self, key: str, text: str) -> None:
        """A problem that is an event, not a state: it is shown for a while after the last time."""
        self._alarms[key] = self._clock.monotonic() + ALARM_SECONDS
        self._metrics.problem(key, text)

    def expire_alarms(self) -> None:
        """Take back the alarms that have been shown for long enough."""
        now = self._clock.monotonic()
        for key in [key for key, until in self._alarms.items() if until <= now]:
            del self._alarms[key]
            self._metrics.healed(key)

    def _counted(self, refusal: Refuse) -> Refuse:
        self._metrics.increment("opentrail_ingest_refusals_total", code=refusal.name.lower())
        return refusal

    def _notice_twins(self, visit: Visit) -> None:
        """Two machines that send under one name at the same time: one has a copied key."""
        name = visit.place.lane.agent
        if self._beliefs.is_shared(name):
            return  # Whoever shares an epoch is told of by `_displace`.
        for other in self.visits():
            if other.place is visit.place or other.place.lane.agent != name:
                continue
            if _are_two_machines(other, visit):
                self._alarm(
                    f"ingest.twins.{name}",
                    f"agent {name}: {other.whereabouts} and {visit.whereabouts} send under one "
                    "identity: if one is a copy, revoke and enrol both under names of their own "
                    "(`opentrail-aggregator certificates revoke`); if it is meant so, list the "
                    "name in identity.shared",
                )

    def end_disbelieved(self) -> None:
        """End the streams whose certificate was revoked or has run out since they began."""
        for visit in self.visits():
            if not (objection := self._beliefs.objection(visit.peer)):
                continue
            if self._beliefs.is_revoked(visit.peer):
                self._metrics.increment("opentrail_ingest_revoked_total")
                self._refuse(visit, Refuse(Code.NOT_ALLOWED, objection))
            else:  # It has a newer one, or will be told so by the handshake.
                visit.is_over = True
                visit.answers.close()

    def _displace(self, place: Place, old: Visit, new: Visit) -> None:
        """The newest stream of an epoch counts; too many in turns are two machines."""
        old.is_over = True
        old.answers.close()
        place.displaced_at.append(new.began_at)
        self._metrics.increment("opentrail_ingest_displaced_total")
        full = len(place.displaced_at) == DISPLACED_MAX
        if full and new.began_at - place.displaced_at[0] < DISPLACED_SECONDS:
            self._alarm(
                f"ingest.cloned.{place.lane.agent}",
                f"agent {place.lane.agent}: two streams of one epoch keep displacing each other "
                f"(hosts {old.host or '?'} and {new.host or '?'}): is the machine cloned? give "
                "one of them a new spool",
            )

    def _tidy(self, place: Place) -> None:
        if place.is_vacant:
            self.places.pop((place.lane.agent, place.lane.epoch), None)


def _are_two_machines(one: Visit, other: Visit) -> bool:
    """By what differs between any two that run; hosts by name may only share a kernel."""
    if one.host != other.host:
        return True
    return bool(one.machine and other.machine and one.machine != other.machine)
