"""A disk that keeps only what it promised: for power cuts, full disks and failing syncs.

Each file has the content that was made durable and the writes that came after. `power_cut` throws
away what was not synced, or keeps an arbitrary part of it, as a real disk may: each page of an
unsynced write is kept, lost or torn as the given random generator says. Names follow the same rule:
a file made, renamed or removed without a synced directory may be as it was before.
"""

import errno
import random
from collections.abc import Sequence
from pathlib import Path

PAGE_BYTES = 512


class PowerCut(BaseException):
    """The power fails here; no handler of the product survives it."""


class _File:
    def __init__(self) -> None:
        self.durable = b""
        self.current = bytearray()


class SimulatedDisk:
    """Implements opentrail.files.Files in memory."""

    def __init__(self) -> None:
        self._names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._directories: set[Path] = set()
        self.free_bytes: int | None = None
        """Writes beyond this fail with ENOSPC; None means no end."""
        self.fail_sync: OSError | None = None
        """The next sync fails with this, and the unsynced bytes may be gone."""
        self.operations_until_cut: int | None = None
        """After so many writing operations the power fails."""

    # The seam.

    def open_append(self, path: Path) -> "_SimulatedAppend":
        if path not in self._names:
            self._tick()
            self._names[path] = _File()
            self._sync_names(path.parent)
        return _SimulatedAppend(self, self._names[path])

    def read(self, path: Path, offset: int, length: int) -> bytes:
        return bytes(self._file(path).current[offset : offset + length])

    def size(self, path: Path) -> int:
        return len(self._file(path).current)

    def exists(self, path: Path) -> bool:
        return path in self._names or path in self._directories

    def list(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self._names if path.parent == directory)

    def make_directory(self, path: Path) -> None:
        while path not in self._directories and path != path.parent:
            self._directories.add(path)
            path = path.parent

    def replace(self, path: Path, content: bytes) -> None:
        self._tick()
        file = _File()
        file.current = bytearray(content)
        self._take(len(content))
        self._sync_file(file)
        self._tick()
        self._names[path] = file
        self._sync_names(path.parent)

    def replace_volatile(self, path: Path, content: bytes) -> None:
        file = _File()
        file.current = bytearray(content)
        self._names[path] = file

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        self._tick()
        is_new = path not in self._names
        file = self._names.setdefault(path, _File())
        if len(file.current) < offset:
            file.current.extend(bytes(offset - len(file.current)))
        file.current[offset : offset + len(content)] = content
        self._tick()
        self._sync_file(file)
        if is_new:
            self._sync_names(path.parent)

    def rename(self, old: Path, new: Path) -> None:
        self._tick()
        self._names[new] = self._names.pop(old)
        self._sync_names(new.parent)
        self._sync_names(old.parent)

    def unlink(self, path: Path) -> None:
        if path in self._names:
            self._tick()
            del self._names[path]
            self._sync_names(path.parent)

    def sync_directory(self, directory: Path) -> None:
        self._sync_names(directory)

    def put_if_absent(self, staged: Path, path: Path) -> bool:
        if path in self._names:
            return False
        self._tick()
        self._names[path] = self._names[staged]
        self._sync_names(path.parent)
        return True

    # The power.

    def power_cut(self, generator: random.Random) -> None:
        """Lose the power and come back: unsynced bytes and names are kept, lost or torn."""
        names = dict(self._durable_names)
        for path in set(self._names) ^ set(self._durable_names):
            if generator.random() < 0.5:
                if path in self._names:
                    names[path] = self._names[path]
                else:
                    names.pop(path, None)
        self._names = names
        self._durable_names = dict(names)
        for file in set(names.values()):
            file.current = bytearray(_survivor(file.durable, bytes(file.current), generator))
            file.durable = bytes(file.current)
        self.operations_until_cut = None
        self.fail_sync = None

    def flip(self, path: Path, offset: int, bit: int) -> None:
        """Damage one bit, durably."""
        file = self._file(path)
        file.current[offset] ^= 1 << bit
        file.durable = bytes(file.current)

    # Inside.

    def _file(self, path: Path) -> _File:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self._names[path]

    def _tick(self) -> None:
        if self.operations_until_cut is not None:
            self.operations_until_cut -= 1
            if self.operations_until_cut < 0:
                raise PowerCut

    def _take(self, size: int) -> None:
        if self.free_bytes is not None:
            if size > self.free_bytes:
                raise OSError(errno.ENOSPC, "no space left on the simulated disk")
            self.free_bytes -= size

    def _sync_file(self, file: _File) -> None:
        if self.fail_sync is not None:
            error, self.fail_sync = self.fail_sync, None
            raise error
        file.durable = bytes(file.current)

    def _sync_names(self, directory: Path) -> None:
        self._tick()
        for path in [path for path in self._durable_names if path.parent == directory]:
            if path not in self._names:
                del self._durable_names[path]
        for path, file in self._names.items():
            if path.parent == directory:
                self._durable_names[path] = file


class _SimulatedAppend:
    def __init__(self, disk: SimulatedDisk, file: _File) -> None:
        self._disk = disk
        self._file = file
        self._broken: OSError | None = None

    @property
    def size(self) -> int:
        return len(self._file.current)

    @size.setter
    def size(self, value: int) -> None:
        raise AttributeError("the size follows from what was written")

    def write(self, buffers: Sequence[bytes]) -> None:
        self._refuse_if_broken()
        for buffer in buffers:
            self._disk._tick()
            try:
                self._disk._take(len(buffer))
            except OSError as error:
                self._broken = error
                raise
            self._file.current += buffer

    def datasync(self) -> None:
        self._refuse_if_broken()
        self._disk._tick()
        try:
            self._disk._sync_file(self._file)
        except OSError as error:
            self._broken = error
            raise

    def truncate(self, size: int) -> None:
        self._refuse_if_broken()
        self._disk._tick()
        del self._file.current[size:]

    def close(self) -> None:
        self._broken = OSError(errno.EBADF, "the file is closed")

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise OSError(self._broken.errno, "an earlier write or sync failed")


def _survivor(durable: bytes, current: bytes, generator: random.Random) -> bytes:
    """What the disk holds of a file after the power came back."""
    if durable == current:
        return durable
    length = generator.randint(min(len(durable), len(current)), max(len(durable), len(current)))
    result = bytearray(length)
    for begin in range(0, length, PAGE_BYTES):
        end = min(begin + PAGE_BYTES, length)
        old, new = durable[begin:end], current[begin:end]
        choice = generator.random()
        page = new if choice < 0.5 or new == old else old if choice < 0.9 else b""
        result[begin : begin + len(page)] = page[: end - begin]
    common = min(len(durable), length)
    prefix = 0
    while prefix < common and prefix < len(current) and durable[prefix] == current[prefix]:
        prefix += 1
    result[:prefix] = durable[:prefix]
    return bytes(result)
