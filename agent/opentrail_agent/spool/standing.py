"""Where a spool stands: whose numbers its batches carry, and how far they are acknowledged.

    position   1 2 3 4 5 6 7 8        in the segment files, never reused
    base             3                position of the batch before this epoch's number 1
    sequence         . 1 2 3 4 5      position - base: what travels
    acknowledged         5            the aggregator holds everything up to this position

A new epoch is one new value of this record, so renumbering all that is unacknowledged is one write
and a crash leaves the old numbering or the new one. Batches do not name their number, so their
bytes stay the same under any epoch.

Pure values: `spool` decides when they are written.
"""

import json
from dataclasses import dataclass, replace

FORMAT = 1
EPOCH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """One state of a spool; a change is a new value."""

    epoch: bytes
    base: int = 0
    acknowledged: int = 0
    """Position through which the aggregator holds everything."""
    log_id: str = ""
    """The log that these numbers belong to; empty until one has welcomed this spool."""
    archived: int = 0
    """Position through which the archive holds everything, as far as the aggregator told."""
    epochs: int = 1
    """How many epochs this spool has had: more than one means that a fork was survived."""

    def __post_init__(self) -> None:
        assert len(self.epoch) == EPOCH_BYTES
        assert self.acknowledged >= 0

    @property
    def acknowledged_through(self) -> int:
        """The same in numbers of this epoch."""
        return self.acknowledged - self.base

    def sequence(self, position: int) -> int:
        return position - self.base

    def position(self, sequence: int) -> int:
        return sequence + self.base

    def acknowledge(self, position: int) -> "Standing":
        """Everything up to `position` is held; an older acknowledgement changes nothing."""
        return replace(self, acknowledged=max(self.acknowledged, position))

    def archive(self, position: int) -> "Standing":
        """Everything up to `position` is archived; being told less changes nothing."""
        return replace(self, archived=max(self.archived, position))

    def bind(self, log_id: str, *, acknowledged: int | None = None) -> "Standing":
        """Belong to `log_id`, which holds everything up to `acknowledged` (None: as it is)."""
        through = self.acknowledged if acknowledged is None else acknowledged
        return replace(self, log_id=log_id, acknowledged=through)

    def begin_epoch(self, epoch: bytes, *, after: int, lost: int = 0) -> "Standing":
        """Number the batches behind position `after` anew, from `lost` + 1.

        `lost` batches are known to be missing from the aggregator's log: an epoch that begins
        behind 1 makes it say so.
        """
        return replace(
            self, epoch=epoch, base=after - lost, acknowledged=after, epochs=self.epochs + 1
        )

    def encode(self) -> bytes:
        return json.dumps(
            {
                "format": FORMAT,
                "epoch": self.epoch.hex(),
                "base": self.base,
                "acknowledged": self.acknowledged,
                "log": self.log_id,
                "archived": self.archived,
                "epochs": self.epochs,
            }
        ).encode()


def decode_standing(payload: bytes) -> Standing | None:
    """The standing in `payload`; None if a version that this program does not know wrote it."""
    fields = json.loads(payload)
    if fields["format"] != FORMAT:
        return None
    return Standing(
        bytes.fromhex(fields["epoch"]),
        fields["base"],
        fields["acknowledged"],
        fields["log"],
        fields.get("archived", 0),
        fields["epochs"],
    )
