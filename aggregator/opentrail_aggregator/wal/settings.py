"""How large the log may grow and what of the disk it leaves alone."""

from dataclasses import dataclass
from typing import Annotated

from opentrail.errors import ConfigError
from opentrail.limits import GIB, MIB, SEGMENT_BYTES

_SEGMENTS_MIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Section `log`."""

    max_bytes: Annotated[
        int,
        "The log stops taking batches at this size and agents keep them; nothing is dropped.",
    ] = 8 * GIB
    segment_bytes: Annotated[
        int, "Size of one file of the log; whole files are released once all readers passed them."
    ] = SEGMENT_BYTES
    control_reserve_bytes: Annotated[
        int, "Room beyond max_bytes that only heartbeats, seals and other decisions may use."
    ] = 64 * MIB
    disk_reserve_bytes: Annotated[
        int, "Free space that batches leave on the disk of the log, for all other stores."
    ] = 512 * MIB
    readers: Annotated[
        tuple[str, ...],
        "Cursors that must have passed a file of the log before it is released.",
    ] = ("consolidate", "index", "archive")
    lock_wait_seconds: Annotated[
        float, "How long a start waits for the lock of a process that is just ending."
    ] = 10.0

    def __post_init__(self) -> None:
        if self.max_bytes < _SEGMENTS_MIN * MIB:
            raise ConfigError(
                f"log.max_bytes: {self.max_bytes} is less than {_SEGMENTS_MIN * MIB}: nothing "
                "could be released before the log is full; give it more"
            )

    @property
    def effective_segment_bytes(self) -> int:
        """Small logs get small files, or nothing could be released before they are full."""
        return min(self.segment_bytes, max(MIB, self.max_bytes // 8))
