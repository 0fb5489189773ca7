"""Named cursors: how far each reader of the log has got, and what it needs to go on from there.

    HOME/log/cursors/NAME     two slots (opentrail.segment.cursor), each msgpack:
                              [log id, position, state, format]; no format is format 1

A reader commits its cursor after its own work is durable, so a crash between the two repeats work
and never skips any. A cursor of another log (the log was made anew) reads as position 0: positions
mean nothing across logs.
"""

from pathlib import Path
from typing import Any

import msgspec

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import newer
from opentrail.segment.cursor import CursorFile

DIRECTORY = "cursors"
FORMAT = 1


class _Stored(msgspec.Struct, array_like=True):
    log_id: str
    position: int
    state: dict[str, Any]
    format: int = FORMAT


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Stored)


class Cursors:
    """The cursors of one log; each name is written by one process only."""

    def __init__(self, directory: Path, log_id: str = "", files: Files = DISK) -> None:
        self._directory = directory
        self._log_id = log_id
        self._files = files
        self._open: dict[str, CursorFile] = {}

    def read(self, name: str) -> tuple[int, dict[str, Any]]:
        """Position and state last committed under `name`; (0, {}) if there is none.

        Raises DamagedError if both copies are damaged: only the reader knows what its own stores
        hold, so only it can say where to go on. Raises NewerFormatError for a later format.
        """
        file = self._file(name)
        content = file.read()
        if content is None:
            if file.damaged:
                raise DamagedError(
                    f"{file.path}: both copies of the cursor are damaged; move the file away and "
                    "restart: its reader begins at the start of the log and finds its own work done"
                )
            return 0, {}
        stored = _DECODER.decode(content)
        if stored.format > FORMAT:
            raise newer(file.path, stored.format, FORMAT)
        if self._log_id and stored.log_id and stored.log_id != self._log_id:
            return 0, {}
        return stored.position, stored.state

    def commit(self, name: str, position: int, state: dict[str, Any] | None = None) -> None:
        """Make `position` the place of `name`, durably."""
        self._file(name).write(_ENCODER.encode(_Stored(self._log_id, position, state or {})))

    def names(self) -> list[str]:
        """Every cursor there is."""
        return self._files.list(self._directory)

    def _file(self, name: str) -> CursorFile:
        if name not in self._open:
            self._files.make_directory(self._directory)
            self._open[name] = CursorFile(self._directory / name, self._files)
        return self._open[name]
