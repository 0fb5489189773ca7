"""Generations of the index, and what each of them remembers.

`CURRENT` names the generation that answers, and changes by one rename. A generation's `state` holds
how far it is in the log and what is no longer in it, in one atomic write:

    position     everything through this log position is committed in its days
    kept_total   how many events the verdicts had kept through `position`
    expired      events through `position` that are too old: not indexed, or dropped with their day
    missing      events through `position` that a rebuild could not bring back
    dropping     days already counted in `expired` whose folders may still be there

An event is in exactly one of: a day's documents, `expired`, `missing`. A state is written only
after the commits it speaks of, so a day may hold events behind `position`: `figures` leaves them
out.
"""

import os
import shutil
from pathlib import Path

import msgspec

from opentrail.errors import DamagedError, NewerFormatError
from opentrail.files import DISK, Files
from opentrail.formats import newer
from opentrail.segment.cursor import CursorFile
from opentrail_aggregator.index.schema import SCHEMA_VERSION

CURRENT = "CURRENT"
STATE = "state"
TERMS = "terms"
"""The folder of a day's engine files."""


class State(msgspec.Struct, array_like=True, frozen=True):
    """What a generation remembers."""

    version: int = SCHEMA_VERSION
    log_id: str = ""
    position: int = 0
    kept_total: int = 0
    expired: int = 0
    missing: int = 0
    dropping: tuple[str, ...] = ()

    def of_log(self, log_id: str) -> "State":
        return msgspec.structs.replace(self, log_id=log_id)


class _Named(msgspec.Struct, array_like=True):
    version: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(State)


def is_day(name: str) -> bool:
    return len(name) == 10 and name[4] == name[7] == "-" and name.replace("-", "").isdigit()


class Generation:
    """One generation on disk."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self.directory = directory
        self.name = directory.name
        self._files = files
        self._cursor = CursorFile(directory / STATE, files)

    def read(self) -> State:
        """What it remembers; raises NewerFormatError for what a later release made."""
        content = self._cursor.read()
        if content is None:
            if self._cursor.damaged:
                raise DamagedError(
                    f"{self._cursor.path}: both copies of the index's state are damaged; run "
                    "opentrail index rebuild"
                )
            return State()
        version = msgspec.msgpack.decode(content, type=_Named).version
        if version > SCHEMA_VERSION:
            told = newer(self._cursor.path, version, SCHEMA_VERSION)
            raise NewerFormatError(f"{told}; opentrail index rebuild makes one of this release")
        return _DECODER.decode(content)

    def write(self, state: State) -> None:
        self._cursor.write(_ENCODER.encode(state))

    def day(self, name: str) -> Path:
        return self.directory / name

    def days(self) -> list[str]:
        """Names of the days that are here, oldest first, those being dropped included."""
        return [name for name in self._files.list(self.directory) if is_day(name)]

    def documents(self) -> int:
        """Documents in all days, as the engine's own descriptions say; opens nothing."""
        return sum(self._documents(name) for name in self.days())

    def _documents(self, name: str) -> int:
        try:
            meta = msgspec.json.decode((self.day(name) / TERMS / "meta.json").read_bytes())
            return sum(int(segment["max_doc"]) for segment in meta["segments"])
        except (OSError, msgspec.DecodeError, KeyError):
            return 0  # Just being made, or just dropped.

    def remove_day(self, name: str) -> None:
        shutil.rmtree(self.day(name), ignore_errors=True)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class Generations:
    """All generations under one folder."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self.directory = directory
        self._files = files
        self._stamped: tuple[tuple[int, int], Path] | None = None

    def stamp(self) -> tuple[int, ...] | None:
        """Changes with the generation that answers, its days and its state; None if there is none.

        Three looks at files' times, where reading all of it takes a hundred.
        """
        try:
            stat = os.stat(self.directory / CURRENT)
            which = stat.st_ino, stat.st_mtime_ns
            if self._stamped is None or self._stamped[0] != which:
                current = self.current()
                if current is None:
                    return None
                self._stamped = which, current.directory
            directory = self._stamped[1]
            state = os.stat(directory / STATE)
            return (*which, os.stat(directory).st_mtime_ns, state.st_ino, state.st_mtime_ns)
        except FileNotFoundError:
            return None

    def current(self) -> Generation | None:
        """The generation that answers, None before there is one."""
        path = self.directory / CURRENT
        if not self._files.exists(path):
            return None
        name = self._files.read(path, 0, 100).decode("ascii", "replace").strip()
        return Generation(self.directory / name, self._files)

    def create(self) -> Generation:
        """A new, empty generation that nobody reads yet."""
        self._files.make_directory(self.directory)
        numbers = [int(name[1:]) for name in self.names()]
        generation = self.directory / f"g{max(numbers, default=0) + 1:06d}"
        self._files.make_directory(generation)
        return Generation(generation, self._files)

    def names(self) -> list[str]:
        return [
            name
            for name in self._files.list(self.directory)
            if name[:1] == "g" and name[1:].isdigit()
        ]

    def switch_to(self, generation: Generation) -> None:
        """Let `generation` answer from now on."""
        self._files.replace(self.directory / CURRENT, f"{generation.name}\n".encode())

    def remove_others(self, keep: set[str]) -> list[str]:
        """Remove generations that nobody needs; their names."""
        others = [name for name in self.names() if name not in keep]
        for name in others:
            Generation(self.directory / name, self._files).remove()
        return others
