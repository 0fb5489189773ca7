"""Looking through a whole log for damage, and what can be done about each kind.

What a start does by itself is no repair: it cuts a torn tail, sets foreign files aside and steps
over damage in sealed segments, whose intact frames are read as before. A repair is for the rest:
a sealed segment whose footer is gone (reading it is slow), a file that is a segment but lies under
another name, and a ledger that cannot be read. Nothing that a repair replaces is thrown away.
"""

from dataclasses import dataclass, field
from pathlib import Path

from opentrail.files import DISK, Files
from opentrail.segment.scan import SegmentScan, scan_segment
from opentrail.segment.store import read_head, segment_name, segment_positions


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    path: Path
    what: str
    remedy: str
    """What `repair` or the next start does about it; empty if nothing has to be done."""
    is_loss: bool = False
    """Frames that were acknowledged cannot be read."""


@dataclass(slots=True)
class Checked:
    """What a check of the whole log found."""

    segments: int = 0
    frames: int = 0
    events: int = 0
    refused: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.findings


def check_log(directory: Path, durable: int, files: Files = DISK) -> Checked:
    """Read every segment; one at a time in memory."""
    found = Checked()
    firsts = segment_positions(files.list(directory))
    expected = firsts[0] if firsts else 1
    for place, first in enumerate(firsts):
        path = directory / segment_name(first)
        scan = scan_segment(files.read(path, 0, files.size(path)))
        found.segments += 1
        found.bytes += files.size(path)
        found.frames += len(scan.frames)
        found.events += sum(frame.events for _, frame in scan.frames)
        found.refused += sum(frame.refused for _, frame in scan.frames)
        is_last = place == len(firsts) - 1
        found.findings += _of_segment(path, first, scan, is_last, files)
        if first > expected:
            found.findings.append(
                Finding(
                    path,
                    f"positions {expected} to {first - 1} before it are missing",
                    "put the missing segment back if there is a copy; reading goes on behind it",
                    is_loss=True,
                )
            )
        expected = _end(scan, first)
    if expected <= durable:
        found.findings.append(
            Finding(
                directory,
                f"it ends at position {expected - 1}, positions up to {durable} were durable",
                "the next start fills the lost positions, so that none is used twice",
                is_loss=True,
            )
        )
    for name in files.list(directory):
        if name.endswith(".broken"):
            found.findings.append(
                Finding(directory / name, "was set aside by a start or a repair",
                        "move it away once it has been looked at")
            )  # fmt: skip
    return found


def _of_segment(
    path: Path, first: int, scan: SegmentScan, is_last: bool, files: Files
) -> list[Finding]:
    findings: list[Finding] = []
    head = read_head(files, path)
    if head is not None and head["first"] != first:
        findings.append(
            Finding(path, f"its head names position {head['first']}, its name {first}",
                    "the next start sets it aside as .broken")
        )  # fmt: skip
    if head is None:
        findings.append(
            Finding(path, "its head cannot be read",
                    "its frames are read all the same; counts come from the segment before it")
        )  # fmt: skip
    findings += [
        Finding(
            path,
            f"bytes {hole.begin} to {hole.end} are damaged ({hole.reason})",
            "the frames around them are read; what they held is lost",
            is_loss=True,
        )
        for hole in scan.holes
    ]
    if scan.torn_bytes and is_last:
        findings.append(
            Finding(
                path,
                f"a torn tail of {scan.torn_bytes} bytes behind byte {scan.valid_bytes} "
                f"({scan.torn_reason}): never acknowledged",
                "the next start cuts it",
            )
        )
    if scan.footer is None and not is_last:
        lost = "" if not scan.torn_bytes else f", {scan.torn_bytes} bytes behind it are no frames"
        findings.append(
            Finding(path, f"it has no footer{lost}",
                    "repair seals it again; the damaged bytes are kept as .broken",
                    is_loss=bool(scan.torn_bytes))
        )  # fmt: skip
    return findings


def _end(scan: SegmentScan, first: int) -> int:
    if scan.footer is not None:
        return scan.footer.position
    return scan.frames[-1][1].position + 1 if scan.frames else first
