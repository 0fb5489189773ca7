"""Repairs of a log that nobody has open: each one planned, then carried out if asked.

A step writes what is to be first, durably, and keeps what was there beside it as `.broken`; so a
crash in the middle of a repair leaves a log that can be repaired again.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opentrail.clock import Clock
from opentrail.files import DISK, Files
from opentrail.segment.aside import aside_of
from opentrail.segment.frame import Kind, encode_frame
from opentrail.segment.scan import SegmentScan, scan_segment
from opentrail.segment.store import read_head, segment_name, segment_positions


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    path: Path
    what: str
    carry_out: Callable[[], None]


def plan_repairs(directory: Path, clock: Clock, files: Files = DISK) -> list[Step]:
    """What would make the log whole, as far as that is possible."""
    steps: list[Step] = []
    firsts = segment_positions(files.list(directory))
    heads = {first: read_head(files, directory / segment_name(first)) for first in firsts}
    misnamed = {
        first: head for first, head in heads.items() if head is not None and head["first"] != first
    }
    for first, head in misnamed.items():
        path = directory / segment_name(first)
        steps.append(_rename(files, path, directory / segment_name(int(head["first"])), head))
    # Where each segment ends follows from the true beginning of the next one.
    true = sorted({first for first in firsts if first not in misnamed}
                  | {int(head["first"]) for head in misnamed.values()})  # fmt: skip
    for first, following in itertools.pairwise(true):
        path = directory / segment_name(first)
        if not files.exists(path):
            continue  # Not under its name yet: planned again once it is.
        content = files.read(path, 0, files.size(path))
        scan = scan_segment(content)
        if scan.footer is None:
            steps.append(_seal(files, path, content, scan, following, clock))
    return steps


def _rename(files: Files, path: Path, right: Path, head: dict[str, int]) -> Step:
    if files.exists(right):
        aside = aside_of(files, path)
        return Step(
            path,
            f"it is a copy of the segment that begins with position {head['first']}, which is "
            f"there; set it aside as {aside.name}",
            lambda: files.rename(path, aside),
        )
    return Step(
        path,
        f"it is the segment that begins with position {head['first']}; name it {right.name}",
        lambda: files.rename(path, right),
    )


def _seal(
    files: Files, path: Path, content: bytes, scan: SegmentScan, following: int, clock: Clock
) -> Step:
    """Keep its valid frames, with a footer behind them."""

    def carry_out() -> None:
        if scan.torn_bytes:
            rest = content[scan.valid_bytes :]
            files.replace(aside_of(files, Path(f"{path}.{scan.valid_bytes}"), rest), rest)
        totals = _totals(files, path, scan)
        footer = json.dumps({"offsets": [offset for offset, _ in scan.frames], **totals}).encode()
        frame = encode_frame(
            Kind.FOOTER,
            following,
            footer,
            appended_at_ns=clock.now_ns(),
            synced=scan.valid_bytes,
        )
        files.replace(path, b"".join((content[: scan.valid_bytes], *frame)))

    kept = f"; {scan.torn_bytes} bytes that are no frames are kept beside it" * bool(
        scan.torn_bytes
    )
    return Step(path, f"write a footer behind its {len(scan.frames)} frames{kept}", carry_out)


def _totals(files: Files, path: Path, scan: SegmentScan) -> dict[str, int]:
    """Events and refusals through the end of the segment: the next one's head knows best."""
    firsts = segment_positions(files.list(path.parent))
    mine = int(path.name.removesuffix(".seg"))
    behind = [first for first in firsts if first > mine]
    head = read_head(files, path.parent / segment_name(behind[0])) if behind else None
    if head is not None:
        return {"events": int(head["events"]), "refused": int(head["refused"])}
    before = json.loads(scan.head.payload) if scan.head else {"events": 0, "refused": 0}
    return {
        "events": before["events"] + sum(frame.events for _, frame in scan.frames),
        "refused": before["refused"] + sum(frame.refused for _, frame in scan.frames),
    }
