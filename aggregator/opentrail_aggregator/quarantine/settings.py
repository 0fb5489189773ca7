"""What can be set about the quarantine."""

from dataclasses import dataclass
from typing import Annotated

from opentrail.limits import EVENT_MAX_BYTES, GIB, MIB
from opentrail.settings import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineSettings:
    """Section `quarantine`."""

    max_bytes: Annotated[
        Bytes,
        "At this size consolidate stops and says so; nothing is dropped, the log keeps it.",
    ] = Bytes(GIB)
    item_max_bytes: Annotated[
        Bytes, "How much of a quarantined record's bytes is kept; length and SHA-256 always are."
    ] = Bytes(EVENT_MAX_BYTES)
    segment_bytes: Annotated[Bytes, "Size of one file of the quarantine."] = Bytes(16 * MIB)
