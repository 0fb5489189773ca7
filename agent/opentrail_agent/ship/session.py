"""What one connection sends and what each answer means: decided here, done elsewhere.

    GREETING ── welcome ──> FLOWING ── full ──> PAUSED ── time ──> FLOWING
        │                      │                  │
        └──────────────────────┴──────────────────┴── HangUp ──> ENDED

The rules, in the order in which they are asked:

* An agent that holds unacknowledged batches of one log sends them to no other, unless the other
  says that it follows it. It binds itself durably before the first batch leaves.
* An acknowledgement counts only for what this connection sent, or sent again: a welcome that claims
  more than this spool ever numbered means that somebody else uses the numbers, and one that claims
  more than was acknowledged here is checked by sending those batches again, because the aggregator
  compares their digests. (A restored disk may have given the same numbers to other batches.)
* A welcome that claims less than was acknowledged means that the aggregator lost batches: what is
  still here is sent again, what is not is named by an epoch that begins behind it.
* A gap, or damage on the way, is mended by going back to the number expected.
* A fork opens a new epoch: same bytes, new numbers.
* A batch that is never taken is set aside; a marker goes under its number and the others go on.
* When the log is full the stream stays open for heartbeats, and one batch asks again later.

Inputs are messages and times, outputs are actions for the shell to carry out in order.
"""

import enum
from dataclasses import dataclass

from opentrail.v1 import ingest_pb2 as pb

PROTOCOL = 1
_NEVER_TAKEN = (pb.Refusal.TOO_LARGE, pb.Refusal.MALFORMED)
BACK_MAX = 3
"""How often one connection sends from the same number again before it gives up."""


class Phase(enum.Enum):
    GREETING = "waiting for the welcome"
    FLOWING = "sending"
    PAUSED = "the aggregator is full"
    ENDED = "hung up"


class Retry(enum.Enum):
    """How the next connection is approached."""

    NOW = "at once: something was decided and is worth trying"
    LATER = "with back-off: the other side has to change first"


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Everything up to `through` is in the aggregator's log."""

    through: int


@dataclass(frozen=True, slots=True)
class Archived:
    """Everything up to `through` is in the archive, too."""

    through: int


@dataclass(frozen=True, slots=True)
class Bind:
    """Remember durably that these numbers belong to `log_id`, before anything is sent."""

    log_id: str
    previous: str
    acknowledged_through: int | None = None
    """A log that follows the one that acknowledged holds no more than this."""


@dataclass(frozen=True, slots=True)
class BeginEpoch:
    """Number everything behind `after` anew; `lost` batches are known to be missing."""

    after: int
    lost: int
    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """The batch `sequence` is never taken: keep it elsewhere and let the others go on."""

    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End this connection."""

    retry: Retry
    key: str
    """A short name for counters and problems."""
    reason: str


Action = Acknowledge | Archived | Bind | BeginEpoch | SetAside | HangUp


@dataclass(frozen=True, slots=True)
class Held:
    """What the spool holds as a connection begins, in numbers of its epoch."""

    first: int
    """The lowest number still on disk."""
    acknowledged_through: int
    last: int
    """The highest number that is durable."""
    log_id: str

    @property
    def is_pending(self) -> bool:
        return self.last > self.acknowledged_through


class Session:
    """One connection's state. Plain calls, no I/O, no clock."""

    def __init__(
        self, held: Held, *, window: int, answer_seconds: float, full_seconds: float
    ) -> None:
        self.phase = Phase.GREETING
        self.acknowledged_through = held.acknowledged_through
        self.next_sequence = held.acknowledged_through + 1
        """The number that is sent next."""
        self.batch_max_bytes = 0
        """What the aggregator takes at most; 0 if it did not say."""
        self.progressed = False
        """Something was acknowledged on this connection."""
        self.highest_sent = 0
        self._held = held
        self._window = window
        self._answer_seconds = answer_seconds
        self._full_seconds = full_seconds
        self._waiting_since: float | None = None
        self._paused_until = 0.0
        self._is_probing = False
        self._times_back = 0
        self._back_at = 0
        self._stale = 0

    def __repr__(self) -> str:
        return (
            f"<Session {self.phase.name}, next {self.next_sequence}, "
            f"acknowledged {self.acknowledged_through}>"
        )

    # Sending.

    def room(self, now: float) -> int:
        """How many batches may be sent now."""
        if self.phase is Phase.PAUSED and now >= self._paused_until:
            self.phase = Phase.FLOWING
            self._is_probing = True  # One batch asks; the window opens when it is acknowledged.
        if self.phase is not Phase.FLOWING:
            return 0
        window = 1 if self._is_probing else self._window
        return max(0, window - (self.next_sequence - 1 - self.acknowledged_through))

    def sent(self, sequence: int, now: float) -> None:
        """The batch `sequence` has been handed to the connection."""
        assert sequence == self.next_sequence
        self.next_sequence += 1
        self.highest_sent = max(self.highest_sent, sequence)
        if self._waiting_since is None:
            self._waiting_since = now

    def deadline(self) -> float | None:
        """When `overdue` or `room` has to be asked again; None if time changes nothing."""
        if self.phase is Phase.PAUSED:
            return self._paused_until
        if self._waiting_since is not None:
            return self._waiting_since + self._answer_seconds
        return None

    def overdue(self, now: float) -> HangUp | None:
        """The end of the connection if the aggregator owes an answer for too long."""
        if self._waiting_since is None or now < self._waiting_since + self._answer_seconds:
            return None
        return self._hang_up(
            Retry.LATER,
            "silent",
            f"no acknowledgement for {self._answer_seconds:g} s with batch "
            f"{self.acknowledged_through + 1} under way; it is sent again on a new connection",
        )

    # Answers.

    def received(self, message: pb.AggregatorMessage, now: float) -> list[Action]:
        """What to do about `message`."""
        kind = message.WhichOneof("message")
        if self.phase is Phase.ENDED:
            return []
        if kind == "welcome" and self.phase is Phase.GREETING:
            return self._welcomed(message.welcome)
        if kind == "refusal":
            return self._refused(message.refusal, now)
        if kind == "acknowledge" and self.phase is not Phase.GREETING:
            answer = message.acknowledge
            actions = self._acknowledged(answer.through, now)
            return actions + self._archived(answer.archived_through)
        return [
            self._hang_up(Retry.LATER, "protocol", f"unexpected {kind} while {self.phase.value}")
        ]

    def _welcomed(self, welcome: pb.Welcome) -> list[Action]:
        if welcome.protocol != PROTOCOL:
            return [
                self._hang_up(
                    Retry.LATER,
                    "protocol",
                    f"the aggregator speaks protocol {welcome.protocol}, this agent {PROTOCOL}; "
                    "upgrade the older one",
                )
            ]
        held = self._held
        is_known = held.log_id in ("", welcome.log_id)
        is_successor = held.log_id in welcome.follows
        if held.is_pending and not is_known and not is_successor:
            return [self._hang_up(Retry.LATER, "wrong_log", wrong_log(held.log_id, welcome.log_id))]
        if not is_known and not is_successor:
            return self._move(f"this one keeps the log {welcome.log_id}")
        self.phase = Phase.FLOWING
        self.batch_max_bytes = welcome.batch_max_bytes
        self._window = min(self._window, welcome.window or self._window)
        actions: list[Action] = []
        agreed = self._agree(welcome.acknowledged_through)
        if held.log_id != welcome.log_id:
            # What is sent again to a log that follows is not acknowledged by it yet.
            is_less = self.acknowledged_through < held.acknowledged_through
            through = self.acknowledged_through if is_successor and is_less else None
            actions.append(Bind(welcome.log_id, held.log_id, through))
        return actions + agreed + self._archived(welcome.archived_through)

    def _agree(self, claimed: int) -> list[Action]:
        """Find the number from which to send; `claimed` is what the aggregator says it holds."""
        held = self._held
        if claimed > held.last:
            return self._begin_epoch(
                held.acknowledged_through,
                0,
                f"the aggregator holds batches up to {claimed} of this epoch, this spool numbered "
                f"only up to {held.last}: its disk was restored or copied",
            )
        if claimed >= held.acknowledged_through:
            return []
        if claimed == 0:
            # An epoch that this log has never seen may begin at any number. If it had seen it and
            # forgot, what is still here is all that can be given back.
            if held.log_id:
                self._rewind(min(held.first, held.acknowledged_through + 1))
            return []
        if claimed + 1 >= held.first:
            self._rewind(claimed + 1)
            return []
        lost = held.first - 1 - claimed
        return self._begin_epoch(
            held.first - 1,
            lost,
            f"the aggregator acknowledged batches up to {held.acknowledged_through} and now holds "
            f"only up to {claimed}; {lost} of them are no longer in this spool",
        )

    def _acknowledged(self, through: int, now: float) -> list[Action]:
        # The aggregator may hold more than was sent again so far: what has not been sent on this
        # connection has not been compared, so it does not count yet.
        through = min(through, self.highest_sent)
        if through <= self.acknowledged_through:
            return []
        self.acknowledged_through = through
        self.next_sequence = max(self.next_sequence, through + 1)
        self.progressed = True
        self._is_probing = False
        self._times_back = self._stale = 0
        is_idle = self.next_sequence == through + 1
        self._waiting_since = None if is_idle else now
        return [Acknowledge(through)]

    def _archived(self, through: int) -> list[Action]:
        """What was compared and is archived; a log that is told of more means another spool's."""
        through = min(through, self.acknowledged_through)
        return [Archived(through)] if through > 0 and self.phase is not Phase.ENDED else []

    def _refused(self, refusal: pb.Refusal, now: float) -> list[Action]:
        code = code_name(refusal)
        if refusal.code == pb.Refusal.FULL and self.phase is not Phase.GREETING:
            self.phase = Phase.PAUSED
            self._paused_until = now + self._full_seconds
            self._rewind(self.acknowledged_through + 1)
            self._waiting_since = None
            return []
        if refusal.code == pb.Refusal.FORK:
            return self._begin_epoch(
                self.acknowledged_through,
                0,
                f"batch {refusal.sequence} is held with other content ({refusal.message}): this "
                "spool was copied or restored",
            )
        is_movable = bool(self._held.log_id) and not self._held.is_pending
        if refusal.code == pb.Refusal.WRONG_LOG and is_movable:
            return self._move(refusal.message)
        if refusal.code in (pb.Refusal.GAP, pb.Refusal.BAD_CHECKSUM) and self._go_back(refusal):
            return []
        reason = f"batch {refusal.sequence} refused: {code} {refusal.message}".rstrip()
        is_under_way = self.acknowledged_through < refusal.sequence <= self.highest_sent
        if refusal.code in _NEVER_TAKEN and is_under_way and self.phase is Phase.FLOWING:
            aside = SetAside(refusal.sequence, reason)
            return [aside, self._hang_up(Retry.NOW, code.lower(), reason)]
        return [self._hang_up(Retry.LATER, code.lower(), reason)]

    def _go_back(self, refusal: pb.Refusal) -> bool:
        """Send again from the number that the aggregator expects, if that can help."""
        if self.phase is Phase.PAUSED:
            return True  # About what was already under way when the log became full.
        expected = refusal.expected or refusal.sequence
        if expected == self._back_at and self._stale > 0:
            self._stale -= 1  # About what was under way behind the batch that was refused.
            return True
        self._times_back += 1
        if self._times_back > BACK_MAX or self.phase is not Phase.FLOWING:
            return False
        if not self.acknowledged_through < expected <= self.highest_sent:
            return False  # The next welcome says what it holds.
        self._back_at, self._stale = expected, self.next_sequence - 1 - refusal.sequence
        self.next_sequence = expected
        return True

    def _move(self, found: str) -> list[Action]:
        """Nothing is unsent: leave the old log for whoever answers here.

        All that the old log should have is there. The numbers begin anew, so that the new one does
        not take what lies before them for missing.
        """
        held = self._held
        reason = f"moved from the log {held.log_id} with nothing unsent: {found}"
        begin = BeginEpoch(held.acknowledged_through, 0, reason)
        return [begin, Bind("", held.log_id), self._hang_up(Retry.NOW, "moved", reason)]

    def _begin_epoch(self, after: int, lost: int, reason: str) -> list[Action]:
        return [BeginEpoch(after, lost, reason), self._hang_up(Retry.NOW, "fork", reason)]

    def _rewind(self, sequence: int) -> None:
        self.next_sequence = sequence
        self.acknowledged_through = min(self.acknowledged_through, sequence - 1)

    def _hang_up(self, retry: Retry, key: str, reason: str) -> HangUp:
        self.phase = Phase.ENDED
        return HangUp(retry, key, reason)


def code_name(refusal: pb.Refusal) -> str:
    """The refusal's name; a number if a later version made it up."""
    try:
        return pb.Refusal.Code.Name(refusal.code)
    except ValueError:
        return str(refusal.code)


def wrong_log(bound: str, found: str) -> str:
    """What a person has to know when the aggregator is another one."""
    return (
        f"this spool holds batches for the log {bound}, the aggregator keeps the log {found}; they "
        "wait: connect to the right aggregator, or give them to this one by "
        "`opentrail-agent spool rehome`"
    )
