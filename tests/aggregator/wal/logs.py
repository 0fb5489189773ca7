"""Logs in memory and on disk for the tests of this room."""

from pathlib import Path

from opentrail.files import DISK, Files
from opentrail.segment.frame import Damage, Kind
from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import (
    BatchMeta,
    LogEntry,
    NewFrame,
    batch_frame,
    control_frame,
)
from opentrail_aggregator.wal.published import Published, UnsharedPosition
from tests.fakes.clock import FakeClock

DIRECTORY = Path("/place/log")


def frame(number: int, size: int = 20, events: int = 3, refused: int = 1) -> NewFrame:
    """A batch frame that tells its number."""
    meta = BatchMeta("web-1", "ab" * 16, number, "cd" * 16, "*")
    body = f"{number}:".encode().ljust(size, b".")
    return batch_frame(meta, body, events, refused)


def number_of(entry: LogEntry) -> int:
    return int(entry.payload.split(b":")[0])


def open_log(
    files: Files = DISK,
    directory: Path = DIRECTORY,
    *,
    published: Published | None = None,
    segment_bytes: int = 1000,
    floor: int = 0,
) -> DiskLog:
    """A log with small segments, each beginning with a settings frame once it rotates."""
    return DiskLog(
        directory,
        FakeClock(),
        segment_bytes=segment_bytes,
        files=files,
        published=published or UnsharedPosition(),
        floor=floor,
        first_in_segment=lambda: control_frame("settings", {}),
    )


def read_all(log: DiskLog, files: Files = DISK, max_bytes: int = 700) -> list[LogEntry | Damage]:
    """Everything a reader sees, in small steps."""
    reader = DiskLogReader(log.directory, files, UnsharedPosition(log.durable_position))
    found: list[LogEntry | Damage] = []
    after = log.first_position - 1
    while step := reader.read(after, max_bytes):
        found += step
        after = step[-1].last if isinstance(step[-1], Damage) else step[-1].position
    return found


def batches_in(log: DiskLog, files: Files = DISK) -> dict[int, int]:
    """Position -> number of every batch frame; damage is a failure."""
    entries = read_all(log, files)
    assert not [entry for entry in entries if isinstance(entry, Damage)]
    return {
        entry.position: number_of(entry)
        for entry in entries
        if isinstance(entry, LogEntry) and entry.kind is Kind.BATCH
    }
