"""A disk with a crash point before and behind every durable step of a store.

The store does several durable things in one call (seal and begin the next segment, cut a tail,
remove old segments); tests must be able to die between any two of them. For the room `wal`:

    wal.written      frames are with the kernel, not synced      wal.created    a segment has a name
    wal.cutting      before a torn tail is cut                   wal.cut        behind it
    wal.dropping     before a released segment is unlinked       wal.dropped    behind it
    wal.set_aside    a damaged file has been renamed

Without the variable of `opentrail.crash` each step costs one dictionary test.
"""

from collections.abc import Sequence
from pathlib import Path

from opentrail.crash import crash_point
from opentrail.files import DISK, AppendFile, Files


class _SteppedFile:
    def __init__(self, file: AppendFile, room: str) -> None:
        self._file = file
        self._room = room

    @property
    def size(self) -> int:
        return self._file.size

    @size.setter
    def size(self, value: int) -> None:
        self._file.size = value

    def write(self, buffers: Sequence[bytes]) -> None:
        self._file.write(buffers)

    def datasync(self) -> None:
        crash_point(f"{self._room}.written")
        self._file.datasync()

    def truncate(self, size: int) -> None:
        crash_point(f"{self._room}.cutting")
        self._file.truncate(size)
        crash_point(f"{self._room}.cut")

    def close(self) -> None:
        self._file.close()


class SteppedFiles:
    """`files`, with the crash points of `room` around what it does."""

    def __init__(self, room: str, files: Files = DISK) -> None:
        self._room = room
        self._files = files

    def open_append(self, path: Path) -> AppendFile:
        file = _SteppedFile(self._files.open_append(path), self._room)
        crash_point(f"{self._room}.created")
        return file

    def unlink(self, path: Path) -> None:
        crash_point(f"{self._room}.dropping")
        self._files.unlink(path)
        crash_point(f"{self._room}.dropped")

    def rename(self, old: Path, new: Path) -> None:
        self._files.rename(old, new)
        crash_point(f"{self._room}.set_aside")

    def read(self, path: Path, offset: int, length: int) -> bytes:
        return self._files.read(path, offset, length)

    def size(self, path: Path) -> int:
        return self._files.size(path)

    def exists(self, path: Path) -> bool:
        return self._files.exists(path)

    def list(self, directory: Path) -> "list[str]":
        return self._files.list(directory)

    def make_directory(self, path: Path) -> None:
        self._files.make_directory(path)

    def replace(self, path: Path, content: bytes) -> None:
        self._files.replace(path, content)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        self._files.overwrite(path, offset, content)

    def replace_volatile(self, path: Path, content: bytes) -> None:
        self._files.replace_volatile(path, content)

    def sync_directory(self, directory: Path) -> None:
        self._files.sync_directory(directory)

    def put_if_absent(self, staged: Path, path: Path) -> bool:
        return self._files.put_if_absent(staged, path)
