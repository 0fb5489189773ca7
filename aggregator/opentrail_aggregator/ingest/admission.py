"""What is taken, what was held already, what is refused: the rules, and nothing else.

An agent numbers its batches without gaps within an *epoch* (128 random bits made with its spool).
The log takes only the next number, so it holds each number once and knows what is missing:

    number        digest      then
    next          any         append
    held          the same    acknowledge again: the acknowledgement was lost
    on its way    the same    wait: it is acknowledged when it is durable
    held          other       FORK: two machines number with one epoch, or a disk was set back
    held, its digest no longer kept       FORK as well: nothing proves that it is the same batch
    later         any         GAP, naming the number expected

An epoch that this log has never seen may begin at any number; what lies before it is named in
`begins_at`. After a refusal that the agent mends by going back (GAP, FULL, BAD_CHECKSUM) the
batches it had sent behind are passed over in silence until the expected one comes.

Sans I/O: values in, a decision out. `stream` does what is decided.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from opentrail.batch import BatchError, BatchHead, digest_of
from opentrail.limits import AGENT_NAME_MAX_CHARACTERS, BATCH_MAX_BYTES
from opentrail.v1.ingest_pb2 import Hello, Refusal
from opentrail_aggregator.ingest.settings import Grant

PROTOCOL = 1
EPOCH_BYTES = 16
DIGEST_BYTES = 16
SEQUENCE_MAX = 2**63 - 1
_AGENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")

Code = Refusal.Code


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no; the agent knows from the code what to do."""

    code: "Refusal.Code.ValueType"
    message: str
    sequence: int = 0
    expected: int = 0

    @property
    def name(self) -> str:
        return Code.Name(self.code)


@dataclass(frozen=True, slots=True)
class Append:
    """Write it: it is the next number."""

    sequence: int


@dataclass(frozen=True, slots=True)
class AcknowledgeAgain:
    """It is durable already, the very same bytes."""

    through: int


@dataclass(frozen=True, slots=True)
class Wait:
    """It is on its way to the disk, the very same bytes."""


@dataclass(frozen=True, slots=True)
class PassOver:
    """It was sent before the agent knew of a refusal; it will come again."""


Decision = Refuse | Append | AcknowledgeAgain | Wait | PassOver


@dataclass(slots=True)
class Lane:
    """The numbers of one (agent, epoch): durable, and on their way."""

    agent: str
    epoch: str
    durable: int
    """The last number held; 0 if the epoch is new."""
    is_new: bool
    digest_of_held: Callable[[int], bytes | None]
    """The digest under a durable number, None if it is no longer known."""
    on_way: dict[int, bytes] = field(default_factory=dict)
    """Number -> digest of what was handed to the log and is not durable yet."""
    refused_at: int = 0
    """The number that has to come next after a refusal; 0 if none is outstanding."""

    @property
    def taken(self) -> int:
        """The last number that is durable or on its way."""
        return max(self.on_way, default=self.durable)

    def admit(self, sequence: int, digest: bytes) -> Decision:
        """Decide about a batch whose bytes are intact; after an Append call `took` or `refuse`."""
        begins = self.is_new and not self.on_way
        # A new epoch whose first batch was refused goes on with that one.
        expected = (self.refused_at or sequence) if begins else self.taken + 1
        if sequence == expected:
            return Append(sequence)
        if sequence > expected:
            if self.refused_at == expected:
                return PassOver()
            return self.refuse(
                Code.GAP,
                sequence,
                f"agent {self.agent}: batch {sequence} came, {expected} was expected; send "
                f"{expected} next, or open a new epoch if it is no longer held",
            )
        held = self.on_way.get(sequence)
        if held is not None:
            return Wait() if held == digest else self._fork(sequence)
        if self.digest_of_held(sequence) == digest:
            return AcknowledgeAgain(self.durable)
        return self._fork(sequence)

    def refuse(self, code: "Refusal.Code.ValueType", sequence: int, message: str) -> Refuse:
        """Refuse something that the agent mends by sending the expected number next."""
        is_first = self.is_new and not self.on_way
        self.refused_at = sequence if is_first else self.taken + 1
        return Refuse(code, message, sequence, self.refused_at)

    def took(self, sequence: int, digest: bytes) -> None:
        """A batch that may be appended is on its way to the log now."""
        self.refused_at = 0
        self.on_way[sequence] = digest

    def became_durable(self, sequence: int) -> None:
        """`sequence` is on disk."""
        self.on_way.pop(sequence, None)
        self.durable = max(self.durable, sequence)
        self.is_new = False

    def failed(self) -> int:
        """Nothing that is on its way will be durable; the lowest number that has to come again.

        0 if nothing was on its way.
        """
        lowest = min(self.on_way, default=0)
        self.on_way.clear()
        return lowest

    def _fork(self, sequence: int) -> Refuse:
        return Refuse(
            Code.FORK,
            f"agent {self.agent}: batch {sequence} of epoch {self.epoch} is held with other "
            "content (a cloned machine, or a disk set back); open a new epoch and send again",
            sequence,
            self.taken + 1,
        )


def inspect_batch(sequence: int, digest: bytes, payload: bytes) -> BatchHead | Refuse:
    """Check the bytes of a batch: their size, their digest, the fixed head. Parses nothing."""
    if not 0 < sequence <= SEQUENCE_MAX:
        return Refuse(Code.BAD_PROTOCOL, f"batch number {sequence} is not from 1 on", sequence)
    if len(payload) > BATCH_MAX_BYTES:
        return Refuse(
            Code.TOO_LARGE,
            f"batch {sequence} has {len(payload)} bytes, limit {BATCH_MAX_BYTES}; split it",
            sequence,
            sequence,
        )
    if len(digest) != DIGEST_BYTES or digest_of(payload) != digest:
        return Refuse(
            Code.BAD_CHECKSUM,
            f"batch {sequence} does not have the digest that came with it; send it again",
            sequence,
            sequence,
        )
    try:
        return BatchHead.parse(payload)
    except BatchError as error:
        return Refuse(Code.MALFORMED, f"batch {sequence}: {error}", sequence, sequence)


def check_hello(
    hello: Hello, certified: Iterable[str], log_ids: Iterable[str], grants: Iterable[Grant]
) -> Refuse | Grant:
    """Whether this agent may speak here; the grant it speaks under."""
    certified = list(certified)
    if hello.protocol != PROTOCOL:
        return Refuse(
            Code.BAD_PROTOCOL,
            f"protocol {hello.protocol} is not spoken here, only {PROTOCOL}; "
            "use the same release on both sides",
        )
    if not is_agent_name(hello.agent) or hello.agent not in certified:
        return Refuse(
            Code.NOT_ALLOWED,
            f"the certificate names {', '.join(certified) or 'no agent'}, the agent calls itself "
            f"{hello.agent[:AGENT_NAME_MAX_CHARACTERS]!r}; they have to be the same",
        )
    if len(hello.epoch) != EPOCH_BYTES or not any(hello.epoch):
        return Refuse(Code.BAD_PROTOCOL, f"an epoch of {len(hello.epoch)} bytes or zeros, not 16")
    if not 0 < hello.next_sequence <= SEQUENCE_MAX:
        return Refuse(Code.BAD_PROTOCOL, f"next_sequence {hello.next_sequence} is not from 1 on")
    log_ids = list(log_ids)
    if hello.bound_log_id and hello.bound_log_id not in log_ids:
        return Refuse(
            Code.WRONG_LOG,
            f"agent {hello.agent} holds batches for log {hello.bound_log_id[:64]!r}, this is log "
            f"{log_ids[0]}; point it back, or let it go with `opentrail-agent spool rehome`",
        )
    grant = grant_of(hello.agent, grants)
    if grant is None:
        return Refuse(
            Code.NOT_ALLOWED,
            f"no grant names agent {hello.agent}; add one to ingest.grants at the aggregator",
        )
    return grant


def missing_numbers(hello: Hello, log_id: str, is_known: bool, taken: int) -> str:
    """What to report of an agent which this very log acknowledged numbers it does not hold.

    The log's disk was set back or damaged. The welcome tells the agent, which sends again what it
    still has and opens an epoch that names the rest. Empty if nothing is missing.
    """
    if not is_known or hello.bound_log_id != log_id or hello.next_sequence <= taken + 1:
        return ""
    return (
        f"agent {hello.agent}, epoch {hello.epoch.hex()}: batches {taken + 1} to "
        f"{hello.next_sequence - 1} were acknowledged and this log does not hold them: its disk "
        "was set back or damaged; the agent sends again what it still has"
    )


def grant_of(agent: str, grants: Iterable[Grant]) -> Grant | None:
    """The first grant whose pattern matches the name."""
    return next((grant for grant in grants if fnmatchcase(agent, grant.agent)), None)


def is_agent_name(name: str) -> bool:
    """Letters, digits and `._@-`, not too long: safe in paths, labels and logs."""
    return len(name) <= AGENT_NAME_MAX_CHARACTERS and bool(_AGENT_NAME.fullmatch(name))
