"""Batches as they leave the spool: numbered, with their digest, and without a gap.

A batch that can no longer be read keeps its number: in its place goes an empty batch with one
refused item of reason `spool_damage`, so the numbering has no hole, the aggregator counts the loss
and a person finds it in the quarantine with file and byte. The replacement is made of nothing but
the damage, so sending it again sends the same bytes.
"""

from dataclasses import dataclass

from opentrail.batch import SourceRun, digest_of, refused_item, seal_batch
from opentrail.segment.frame import Damage, Frame
from opentrail.segment.reader import SegmentReader
from opentrail_agent.spool.aside import SOURCE, Aside
from opentrail_agent.spool.standing import Standing

_REPLACEMENTS_MAX = 64
"""How many replacements one reading makes; the next one goes on from there."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A batch ready to be sent under `sequence`."""

    sequence: int
    digest: bytes
    payload: bytes
    damage: str = ""
    """Why this stands in for a batch that cannot be read; empty for a batch as it was sealed."""


def read_outgoing(
    reader: SegmentReader,
    aside: Aside,
    standing: Standing,
    after_sequence: int,
    durable: int,
    max_bytes: int,
) -> list[Outgoing]:
    """The batches behind `after_sequence` up to position `durable`, about `max_bytes` of them."""
    found: list[Outgoing] = []
    for entry in reader.read(standing.position(after_sequence), durable, max_bytes):
        if isinstance(entry, Frame):
            sequence = standing.sequence(entry.position)
            sent = aside.marker(entry) or (digest_of(entry.payload), entry.payload)
            found.append(Outgoing(sequence, *sent))
            continue
        for position in range(entry.first, entry.last + 1):
            if len(found) >= _REPLACEMENTS_MAX:
                return found
            found.append(replacement(standing.sequence(position), position, entry))
    return found


def replacement(sequence: int, position: int, damage: Damage) -> Outgoing:
    """What is sent in place of the batch at `position`."""
    where = f"{damage.path}: position {position} at byte {damage.offset}: {damage.reason}"
    item = refused_item(
        b"", source=SOURCE, offset=damage.offset, reason="spool_damage", detail=where
    )
    payload = seal_batch(b"", 0, [SourceRun(source=SOURCE, refused=1)], [item])
    return Outgoing(sequence, digest_of(payload), payload, where)
