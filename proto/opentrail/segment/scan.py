"""What one whole segment holds: its frames, its holes, and where it may be cut.

Pure: bytes in, findings out. `store` uses it to recover the tail, the check and repair tools use
it for every segment.
"""

from dataclasses import dataclass, field

from opentrail.segment.frame import Frame, FrameError, Kind, decode_frame, next_valid


@dataclass(slots=True)
class Hole:
    """Bytes [begin, end) of a segment that are no frame."""

    begin: int
    end: int
    reason: str


@dataclass(slots=True)
class SegmentScan:
    """Everything found in a segment."""

    head: Frame | None = None
    footer: Frame | None = None
    frames: list[tuple[int, Frame]] = field(default_factory=list)
    """Offset and frame, HEAD and FOOTER left out."""
    holes: list[Hole] = field(default_factory=list)
    """Damage to bytes that had been durable: what lies behind them is kept."""
    valid_bytes: int = 0
    """Where the segment may be cut: behind the last frame that may have been acknowledged."""
    torn_bytes: int = 0
    """Bytes behind `valid_bytes`: never acknowledged, or not to be told from that."""
    torn_reason: str = ""
    torn_has_frames: bool = False
    """Whole frames lie behind the cut; they were never acknowledged."""


def scan_segment(data: bytes) -> SegmentScan:
    """Read a whole segment, going on behind damage wherever a frame proves it was durable."""
    found = SegmentScan()
    pending: list[Hole] = []
    unproven: list[tuple[int, int, Frame]] = []
    offset = 0
    while offset < len(data):
        try:
            frame, end, synced = decode_frame(data, offset)
        except FrameError as error:
            resumed = next_valid(data, offset + 1)
            pending.append(Hole(offset, len(data) if resumed is None else resumed, error.reason))
            if resumed is None:
                break
            offset = resumed
            continue
        unproven.append((offset, end, frame))
        if not pending or synced >= pending[-1].end or frame.kind is Kind.FOOTER:
            # No hole before it, or the frame proves that the holes had been durable.
            _accept(found, pending, unproven)
        offset = end
    if pending:
        found.torn_bytes = len(data) - found.valid_bytes
        found.torn_reason = pending[0].reason
        found.torn_has_frames = bool(unproven)
    return found


def _accept(
    found: SegmentScan, pending: list[Hole], unproven: list[tuple[int, int, Frame]]
) -> None:
    found.holes += pending
    pending.clear()
    for offset, end, frame in unproven:
        if frame.kind is Kind.HEAD:
            found.head = frame
        elif frame.kind is Kind.FOOTER:
            found.footer = frame
        else:
            found.frames.append((offset, frame))
        found.valid_bytes = end
    unproven.clear()
