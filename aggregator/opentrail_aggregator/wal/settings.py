"""How large the log may grow and what of the disk it leaves alone."""

from dataclasses import dataclass
from typing import Annotated

from opentrail.limits import GIB, MIB, SEGMENT_BYTES
from opentrail.settings import Bytes, Seconds

_SEGMENTS_MIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Section `log`."""

    max_bytes: Annotated[
        Bytes,
        "The log stops taking batches at this size and agents keep them; nothing is dropped.",
    ] = Bytes(8 * GIB)
    segment_bytes: Annotated[
        Bytes,
        "Size of one file of the log; whole files are released once all readers passed them.",
    ] = Bytes(SEGMENT_BYTES)
    control_reserve: Annotated[
        Bytes, "Room beyond max_bytes that only heartbeats, seals and other decisions may use."
    ] = Bytes(64 * MIB)
    readers: Annotated[
        tuple[str, ...],
        "Cursors that must have passed a file of the log before it is released.",
    ] = ("consolidate", "index", "archive")
    lock_wait: Annotated[
        Seconds, "How long a start waits for the lock of a process that is just ending."
    ] = Seconds(10.0)

    def __post_init__(self) -> None:
        if self.max_bytes < _SEGMENTS_MIN * MIB:
            raise ValueError(
                f"max_bytes {self.max_bytes} is less than {_SEGMENTS_MIN * MIB}: nothing could be "
                "released before the log is full; give it more"
            )

    @property
    def effective_segment_bytes(self) -> int:
        """Small logs get small files, or nothing could be released before they are full."""
        return min(self.segment_bytes, max(MIB, self.max_bytes // 8))


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSettings:
    """Section `disk`."""

    reserve: Annotated[
        Bytes,
        "Free space that is left alone on the disk of HOME: below it batches are not taken and "
        "agents keep them.",
    ] = Bytes(512 * MIB)
