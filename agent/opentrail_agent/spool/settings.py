"""Settings of the spool."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from opentrail.limits import BATCH_MAX_BYTES, MIB
from opentrail.settings import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Where captured batches wait for the aggregator."""

    directory: Annotated[
        Path | None, "Where batches are kept; a local disk, not NFS. Default: STATE/spool."
    ] = None
    max_bytes: Annotated[
        Bytes, "The sources wait once the spool holds this much; nothing is dropped."
    ] = Bytes(4 << 30)
    segment_bytes: Annotated[
        Bytes, "Size of one file; space comes back by whole files, opening reads one of them."
    ] = Bytes(16 * MIB)
    reserve_bytes: Annotated[
        Bytes, "The sources wait rather than leave less than this free on the disk."
    ] = Bytes(256 * MIB)

    def __post_init__(self) -> None:
        if self.segment_bytes < MIB:
            raise ValueError(f"segment_bytes: {self.segment_bytes} is less than 1MiB")
        # Only whole files are dropped: with less than this, a spool full of acknowledged batches
        # could have nothing to drop and wait forever.
        least = 2 * self.segment_bytes + 2 * BATCH_MAX_BYTES
        if self.max_bytes < least:
            raise ValueError(
                f"max_bytes: {self.max_bytes} is less than two segments and two batches ({least})"
            )
