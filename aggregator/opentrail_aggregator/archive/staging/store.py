"""The staging of one archive: a buffer in memory, runs on disk, and CURRENT, which counts.

    HOME/staging/CURRENT          msgpack, replaced whole: log, position, runs, closed parts, state
    HOME/staging/FIRST-LAST.run   events of log positions FIRST..LAST (see run_format)

What CURRENT does not name does not exist: a crash at any point leaves the state it last described,
and reading the log on from its position makes the rest again. A cut takes a part out by its number;
its events stay in their runs, dead, until a merge leaves them behind or nothing else is in the run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard

from opentrail.crash import crash_point
from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import newer
from opentrail_aggregator.archive.gather import Piece
from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.parts import OpenPart
from opentrail_aggregator.archive.staging.run_format import PartEntry
from opentrail_aggregator.archive.staging.run_reader import Run
from opentrail_aggregator.archive.staging.run_writer import RunWriter
from opentrail_aggregator.archive.staging.slices import Slice

CURRENT = "CURRENT"
RUN_SUFFIX = ".run"
_VERSION = 1
_CLOSED_MAX_BYTES = 256 << 20
_PIECE_OVERHEAD_BYTES = 700
"""What Python keeps around a piece in the buffer, for an honest bound of memory."""


class Current(msgspec.Struct, array_like=True):
    """The durable state."""

    version: int
    log_id: str
    position: int
    """Everything through here is in the runs or was cut."""
    runs: list[str]
    closed: bytes
    """zstd of the sorted numbers (u64) of parts that were cut and still lie in runs."""
    next_number: int
    open_events: int
    """Events of open parts that count in the sums."""
    open_parts: int
    state: dict[str, Any]
    """What else its owner has to know at this position."""


class _Named(msgspec.Struct, array_like=True):
    version: int


_decoder = msgspec.msgpack.Decoder(Current)
_encode = msgspec.msgpack.Encoder().encode


def read_current(directory: Path, files: Files = DISK) -> Current | None:
    """The durable state, from any process; None before the first checkpoint."""
    try:
        path = directory / CURRENT
        data = files.read(path, 0, files.size(path))
        version = msgspec.msgpack.decode(data, type=_Named).version
        if version > _VERSION:
            raise newer(path, version, _VERSION)
        return _decoder.decode(data)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise DamagedError(
            f"{directory / CURRENT}: cannot be read ({error}); if the log still begins at position "
            "1, stop the archive, move the staging folder away and start: all is made again"
        ) from error


def run_name(first_position: int, last_position: int) -> str:
    """The file name of a run."""
    return f"{first_position:020d}-{last_position:020d}{RUN_SUFFIX}"


class Staging:
    """Open parts and their events."""

    def __init__(self, directory: Path, log_id: str, files: Files = DISK) -> None:
        self.directory = directory
        self.files = files
        self.log_id = log_id
        self.parts: dict[int, OpenPart] = {}
        self._numbers: dict[PartKey, int] = {}
        self._buffer: dict[int, list[Slice]] = {}
        self.buffer_bytes = 0
        self.runs: list[Run] = []
        self._closed: set[int] = set()
        self._closed_changed = False
        self._next_number = 1
        self.position = 0
        """The durable one."""
        self.state: dict[str, Any] = {}
        self._obsolete: list[Path] = []
        files.make_directory(directory)
        self._open()

    # Gathering and cutting.

    def part_of(self, key: PartKey) -> OpenPart:
        """The open part of `key`, opened if there is none."""
        number = self._numbers.get(key)
        if number is None:
            number = self._next_number
            self._next_number += 1
            self._numbers[key] = number
            self.parts[number] = OpenPart(number, key)
        return self.parts[number]

    def find(self, key: PartKey) -> OpenPart | None:
        """The open part of `key` if there is one."""
        number = self._numbers.get(key)
        return None if number is None else self.parts[number]

    def add(self, piece: Piece, monotonic: float) -> OpenPart:
        """Take events into their part."""
        part = self.part_of(piece.key)
        part.add(piece.slice, piece.importer, monotonic)
        self._buffer.setdefault(part.number, []).append(piece.slice)
        self.buffer_bytes += _memory_of(piece.slice)
        return part

    def slices(self, part: OpenPart) -> Iterator[Slice]:
        """The part's events in log order."""
        for run in self.runs:
            yield from run.slices_of(part.number)
        yield from self._buffer.get(part.number, [])

    def close_part(self, part: OpenPart) -> None:
        """The part was cut: its events are no longer here."""
        del self.parts[part.number]
        del self._numbers[part.key]
        self.buffer_bytes -= sum(map(_memory_of, self._buffer.pop(part.number, [])))
        self._closed.add(part.number)
        self._closed_changed = True

    # Durability.

    def checkpoint(self, position: int, state: dict[str, Any]) -> None:
        """Make everything through `position` durable, with `state`."""
        if self._buffer:
            self._spill(position)
        self._drop_dead_runs()
        self.state = state
        self._write_current(position)
        self._remove_obsolete()

    def replace_runs(self, old: list[Run], new: Run | None) -> None:
        """`new` holds what is alive in `old`, which are neighbours; durable with a checkpoint.

        Not before: what is alive is known for now, and CURRENT still speaks of an earlier position.
        """
        at = self.runs.index(old[0])
        assert self.runs[at : at + len(old)] == old
        self.runs[at : at + len(old)] = [new] if new else []
        self._obsolete += [run.path for run in old]

    def is_open(self, number: int) -> bool:
        return number in self.parts

    @property
    def run_bytes(self) -> int:
        """What the runs take on disk."""
        return sum(run.bytes for run in self.runs)

    def entry_of(self, part: OpenPart) -> PartEntry:
        """The part as a run names it."""
        key = part.key
        return PartEntry(
            part.number, key.trail, key.account, key.region, key.hour, key.folder,
            list(part.importers),
        )  # fmt: skip

    def _spill(self, position: int) -> None:
        path = self.directory / run_name(self.position + 1, position)
        writer = RunWriter(path, self.files)
        for number in sorted(self._buffer):
            entry = self.entry_of(self.parts[number])
            for piece in self._buffer[number]:
                writer.add(entry, piece)
        writer.finish(self.position + 1, position)
        self.runs.append(Run(path, self.files))
        self.runs[-1].forget_parts()
        self._buffer = {}
        self.buffer_bytes = 0
        crash_point("archive.spilled")

    def _drop_dead_runs(self) -> None:
        """Forget runs of which no part is open any more, and closed parts that are in no run."""
        if not self._closed_changed:
            return
        self._closed_changed = False
        opened = np.array(sorted(self.parts), dtype="<u8")
        alive: list[Run] = []
        dead: list[Run] = []
        for run in self.runs:
            (alive if np.isin(run.numbers, opened).any() else dead).append(run)
        self.runs = alive
        self._obsolete += [run.path for run in dead]
        closed = np.array(sorted(self._closed), dtype="<u8")
        present = np.zeros(len(closed), dtype=bool)
        for run in alive:
            present |= np.isin(closed, run.numbers)
        self._closed = set(closed[present].tolist())

    def _write_current(self, position: int) -> None:
        closed = np.array(sorted(self._closed), dtype="<u8").tobytes()
        self.files.replace(
            self.directory / CURRENT,
            _encode(
                Current(
                    _VERSION,
                    self.log_id,
                    position,
                    [run.name for run in self.runs],
                    zstandard.ZstdCompressor(level=1).compress(closed),
                    self._next_number,
                    sum(part.counted for part in self.parts.values()),
                    len(self.parts),
                    self.state,
                )
            ),
        )
        self.position = position

    def _remove_obsolete(self) -> None:
        for path in self._obsolete:
            self.files.unlink(path)
        self._obsolete = []

    # Opening.

    def _open(self) -> None:
        current = read_current(self.directory, self.files)
        if current is not None and current.log_id != self.log_id:
            raise DamagedError(
                f"{self.directory / CURRENT}: belongs to log {current.log_id}, this is log "
                f"{self.log_id}; move the staging folder away once nothing of that log is needed"
            )
        named = set(current.runs) if current else set()
        for name in self.files.list(self.directory):
            if (name.endswith(RUN_SUFFIX) or ".run.tmp" in name) and name not in named:
                self.files.unlink(self.directory / name)  # From before a crash; made again.
        if current is None:
            return
        self.position, self.state = current.position, current.state
        self._next_number = current.next_number
        data = zstandard.ZstdDecompressor().decompress(
            current.closed, max_output_size=_CLOSED_MAX_BYTES
        )
        self._closed = set(np.frombuffer(data, dtype="<u8").tolist())
        for name in current.runs:
            run = Run(self.directory / name, self.files)
            self._know(run)
            self.runs.append(run)

    def _know(self, run: Run) -> None:
        for entry in run.parts:
            if entry.number in self._closed:
                continue
            part = self.parts.get(entry.number)
            if part is None:
                key = PartKey(entry.trail, entry.account, entry.region, entry.hour, entry.folder)
                part = self.parts[entry.number] = OpenPart(entry.number, key)
                self._numbers[key] = entry.number
            part.importers = tuple(dict.fromkeys((*part.importers, *entry.importers)))
        run.forget_parts()
        for row in run.all_rows():
            part = self.parts.get(int(row["number"]))
            if part is not None:
                part.include_row(
                    int(row["events"]), int(row["raw"]), int(row["counted"]), int(row["first"]),
                    int(row["last"]), int(row["oldest"]), int(row["newest"]),
                    int(row["live_first"]), int(row["live_last"]),
                )  # fmt: skip


def _memory_of(piece: Slice) -> int:
    return len(piece.lines) + len(piece.packed) + _PIECE_OVERHEAD_BYTES + 8 * piece.events
