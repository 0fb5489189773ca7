"""Which batch numbers are held: per (agent, epoch) the last one, and the digests below it.

The ledger follows the log: every batch frame that became durable is booked once, in order. What it
knows is written down when a segment is sealed (`ledger_store`), and at a start the frames behind
that are read again. So numbers outlive the segments that held them, a kill at any moment loses
none, and starting costs the reading of a segment or two, whatever the backlog.

Digests of recent numbers are in memory; older ones were written to files of their own and are read
back when an agent sends an old number again, which is rare.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from opentrail_aggregator.ingest.admission import DIGEST_BYTES
from opentrail_aggregator.ingest.archived import ArchivedNumbers
from opentrail_aggregator.wal.log import LogEntry

MISSING_MAX = 100
"""Ranges of missing numbers that are remembered for one epoch."""

OldDigest = Callable[[str, str, int], bytes | None]


@dataclass(slots=True)
class Numbering:
    """The numbers of one epoch of one agent, as far as they are durable."""

    agent: str
    epoch: str
    begins_at: int
    """Its first number in this log; what lies before it went elsewhere or is lost."""
    last: int
    position: int
    """Where the last one lies in the log."""
    at_ns: int
    """When it was appended."""
    digests_from: int
    """The number that the first of `digests` belongs to."""
    digests: bytearray = field(default_factory=bytearray)
    missing: list[tuple[int, int]] = field(default_factory=list)
    """Numbers between the first and the last that are not here (damage), inclusive."""

    def digest(self, sequence: int) -> bytes | None:
        """The digest under a recent number."""
        begin = (sequence - self.digests_from) * DIGEST_BYTES
        if sequence < self.digests_from or begin >= len(self.digests):
            return None
        return bytes(self.digests[begin : begin + DIGEST_BYTES])


class Ledger:
    """All numberings. One thread at a time."""

    def __init__(self, log_id: str, old_digest: OldDigest = lambda agent, epoch, number: None):
        self.log_id = log_id
        self.position = 0
        """Everything in the log up to here is booked."""
        self.settings_digest = ""
        """Of the last settings frame; empty if there was none."""
        self.follows: tuple[str, ...] = ()
        """Logs that this one was begun after; their agents may send here what they still hold."""
        self.archived = ArchivedNumbers()
        self._old_digest = old_digest
        self._numberings: dict[tuple[str, str], Numbering] = {}
        self._epochs: dict[str, int] = {}

    def __iter__(self) -> Iterator[Numbering]:
        return iter(self._numberings.values())

    def __len__(self) -> int:
        return len(self._numberings)

    @property
    def log_ids(self) -> tuple[str, ...]:
        """This log and those that it was begun after."""
        return (self.log_id, *self.follows)

    def find(self, agent: str, epoch: str) -> Numbering | None:
        """The numbering of an epoch, None if this log has never seen it."""
        return self._numberings.get((agent, epoch))

    def epochs_of(self, agent: str) -> int:
        """How many epochs of an agent are remembered."""
        return self._epochs.get(agent, 0)

    def digest(self, agent: str, epoch: str, sequence: int) -> bytes | None:
        """The digest of a held number; None if it is not held or no longer known."""
        numbering = self.find(agent, epoch)
        if numbering is None or not numbering.begins_at <= sequence <= numbering.last:
            return None
        if sequence >= numbering.digests_from:
            return numbering.digest(sequence)
        return self._old_digest(agent, epoch, sequence)

    def restore(self, numbering: Numbering) -> None:
        """Take over what was written down."""
        key = (numbering.agent, numbering.epoch)
        assert key not in self._numberings
        self._numberings[key] = numbering
        self._epochs[numbering.agent] = self.epochs_of(numbering.agent) + 1
        self.archived.note(*key, numbering.position, numbering.last)

    def book(
        self, position: int, at_ns: int, agent: str, epoch: str, sequence: int, digest: bytes
    ) -> None:
        """A batch became durable at `position`."""
        self.position = max(self.position, position)
        numbering = self.find(agent, epoch)
        if numbering is None:
            self.restore(
                Numbering(agent, epoch, sequence, sequence, position, at_ns, sequence,
                          bytearray(digest))
            )  # fmt: skip
            return
        if sequence <= numbering.last:
            return  # Read again after a restart.
        if sequence > numbering.last + 1:
            if len(numbering.missing) < MISSING_MAX:
                numbering.missing.append((numbering.last + 1, sequence - 1))
            numbering.digests_from, numbering.digests = sequence, bytearray()
        numbering.digests += digest
        numbering.last = sequence
        numbering.position = position
        self.archived.note(agent, epoch, position, sequence)
        numbering.at_ns = at_ns

    def follow(self, entry: LogEntry) -> None:
        """Book what a frame of the log says, when reading it again at a start."""
        self.position = max(self.position, entry.position)
        if entry.is_batch:
            self.book(
                entry.position,
                entry.appended_at_ns,
                entry.agent,
                entry.epoch,
                entry.sequence,
                bytes.fromhex(entry.digest),
            )

    def recent_digests(self) -> int:
        """How many digests are in memory."""
        return sum(len(numbering.digests) for numbering in self) // DIGEST_BYTES

    def forget_digests(self) -> None:
        """Let go of the digests in memory; they were written to a file."""
        for numbering in self:
            numbering.digests = bytearray()
            numbering.digests_from = numbering.last + 1
