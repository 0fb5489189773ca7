"""HOME/log/durable: how far readers in other processes may read, eight bytes.

    0                  8
    +------------------+
    | durable position |   unsigned, little-endian
    +------------------+

Written after the sync it speaks of, so it may lag behind the truth after a power cut and is never
ahead of it. It is not synced itself: ingest writes it anew at every start. Its one other use is to
notice that frames which readers may have seen are gone (`DiskLog`, "floor").
"""

import os
import struct
from pathlib import Path
from typing import Protocol

_POSITION = struct.Struct("<Q")
NAME = "durable"


class Published(Protocol):
    """Where the durable position is told to readers."""

    def publish(self, position: int) -> None: ...

    def read(self) -> int: ...

    def close(self) -> None: ...


class PublishedPosition:
    """The file; one writer, any number of readers."""

    def __init__(self, log_directory: Path, *, writing: bool = False) -> None:
        self.path = log_directory / NAME
        self._writing = writing
        self._fd = -1

    def publish(self, position: int) -> None:
        """Let readers have everything through `position`, which is durable."""
        if self._fd < 0:
            self._open()
        os.pwrite(self._fd, _POSITION.pack(position), 0)

    def read(self) -> int:
        """The published position; 0 if none was ever published."""
        if self._fd < 0:
            try:
                self._open()
            except FileNotFoundError:
                return 0
        content = os.pread(self._fd, _POSITION.size, 0)
        if len(content) < _POSITION.size:
            return 0
        return int(_POSITION.unpack(content)[0])

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT if self._writing else os.O_RDONLY
        self._fd = os.open(self.path, flags | os.O_CLOEXEC, 0o640)


class UnsharedPosition:
    """A published position that no other process reads."""

    def __init__(self, position: int = 0) -> None:
        self._position = position

    def publish(self, position: int) -> None:
        self._position = position

    def read(self) -> int:
        return self._position

    def close(self) -> None:
        pass
