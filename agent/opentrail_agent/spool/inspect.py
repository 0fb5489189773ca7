"""Looking into a spool without owning it: what `opentrail-agent spool` shows.

Everything here only reads, also beside a running agent; what is being written at that moment may
look torn and is told as such, not as damage.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from opentrail.batch import BatchError, BatchHead
from opentrail.errors import OpenTrailError
from opentrail.files import DISK, Files
from opentrail.segment.cursor import CursorFile
from opentrail.segment.frame import Damage, Frame
from opentrail.segment.reader import SegmentReader
from opentrail.segment.scan import scan_segment
from opentrail.segment.store import segment_name, segment_positions
from opentrail_agent.spool.spool import SEGMENTS, STANDING
from opentrail_agent.spool.standing import Standing, decode_standing


class NoSpoolError(OpenTrailError):
    """There is no spool in that folder."""


@dataclass(slots=True)
class Look:
    """One look at a spool."""

    standing: Standing | None
    first: int
    last: int
    """The last position that can be read."""
    segments: int
    bytes: int
    problems: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Batches that are not acknowledged."""
        acknowledged = self.standing.acknowledged if self.standing else self.first - 1
        return max(0, self.last - acknowledged)


def look(directory: Path, files: Files = DISK) -> Look:
    """What is in the spool in `directory`, by its names, its standing and its last segment."""
    if not files.exists(directory / STANDING) and not files.list(directory / SEGMENTS):
        raise NoSpoolError(
            f"{directory}: there is no spool; name its folder by --spool or --config"
        )
    problems: list[str] = []
    cursor = CursorFile(directory / STANDING, files)
    payload = cursor.read()
    standing = decode_standing(payload) if payload is not None else None
    if standing is None:
        problems.append(f"{cursor.path}: {'damaged' if cursor.damaged else 'missing or newer'}")
    firsts = segment_positions(files.list(directory / SEGMENTS))
    broken = [n for n in files.list(directory / SEGMENTS) if n.endswith(".broken")]
    problems += [f"{directory / SEGMENTS / name}: set aside as damaged" for name in broken]
    paths = [directory / SEGMENTS / segment_name(first) for first in firsts]
    last = 0
    if firsts:
        scan = scan_segment(files.read(paths[-1], 0, files.size(paths[-1])))
        last = scan.frames[-1][1].position if scan.frames else firsts[-1] - 1
        if scan.torn_bytes:
            problems.append(
                f"{paths[-1]}: torn at byte {scan.valid_bytes}: {scan.torn_bytes} bytes behind it "
                "are being written now, or were never promised and are cut at the next start"
            )
    size = sum(files.size(path) for path in paths)
    return Look(standing, firsts[0] if firsts else 0, last, len(firsts), size, problems)


def entries(directory: Path, found: Look, files: Files = DISK) -> Iterator[Frame | Damage]:
    """Every frame and every damage, in order, a few megabytes at a time."""
    reader = SegmentReader(directory / SEGMENTS, files)
    after = found.first - 1
    while after < found.last:
        step = reader.read(after, found.last, 4 << 20)
        if not step:
            return
        for entry in step:
            yield entry
            after = entry.position if isinstance(entry, Frame) else entry.last


@dataclass(slots=True)
class Checked:
    """What a check of every byte found."""

    batches: int = 0
    events: int = 0
    refused: int = 0
    damaged: int = 0
    problems: list[str] = field(default_factory=list)


def check(directory: Path, found: Look, files: Files = DISK) -> Checked:
    """Read everything: checksums, positions, batch heads."""
    result = Checked(problems=list(found.problems))
    for entry in entries(directory, found, files):
        if isinstance(entry, Damage):
            count = entry.last - entry.first + 1
            result.damaged += count
            result.problems.append(
                f"{entry.path}: byte {entry.offset}: positions {entry.first} to {entry.last}: "
                f"{entry.reason}"
            )
            continue
        result.batches += 1
        try:
            head = BatchHead.parse(entry.payload)
        except BatchError as error:
            result.problems.append(f"position {entry.position}: {error}")
            continue
        result.events += head.events
        result.refused += head.refused
    return result
