"""The only place that writes durably: fsync, rename, link and unlink live here and nowhere else.

What the disk is trusted to do: after `datasync` returns, the bytes written before it survive a
power cut; after `sync_directory` returns, so do the names created, renamed or removed in it; a
rename is all or nothing. Nothing else is trusted: writes that were not synced may be lost, kept in
part, or reach the disk in any order. `tests/fakes/disk.py` is a disk that does exactly this.

After a failed `datasync` the kernel may have dropped the dirty pages and a second call can lie by
returning success. So the file is marked broken and every later call fails: the owner has to open it
again and read what is really there.
"""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from opentrail.errors import LockedError

_WRITEV_MAX_BUFFERS = 1024  # IOV_MAX on Linux


class AppendFile(Protocol):
    """A file open for appending; `size` is where the next byte goes."""

    size: int

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append all of `buffers`; durable only after `datasync`."""
        ...

    def datasync(self) -> None:
        """Return when everything written so far survives a power cut."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes; durable only after `datasync`."""
        ...

    def close(self) -> None:
        """Release the file; says nothing about durability."""
        ...


class Files(Protocol):
    """A file system, as far as durable code needs one."""

    def open_append(self, path: Path) -> AppendFile:
        """Open for appending, made if missing; the name is durable when this returns."""
        ...

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer at the end of the file."""
        ...

    def size(self, path: Path) -> int:
        """Bytes in the file; FileNotFoundError if there is none."""
        ...

    def exists(self, path: Path) -> bool: ...

    def list(self, directory: Path) -> list[str]:
        """Names in `directory`, sorted; empty if there is no such directory."""
        ...

    def make_directory(self, path: Path) -> None:
        """Make `path` and its parents durably; nothing happens if it is there."""
        ...

    def replace(self, path: Path, content: bytes) -> None:
        """Make `path` hold `content`; after a crash it holds the old content or the new."""
        ...

    def replace_volatile(self, path: Path, content: bytes) -> None:
        """Make `path` hold `content` for readers now; worth nothing after a power cut."""
        ...

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        """Write `content` in place, durably; a crash may leave any mix of old and new."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Rename durably within one directory or between two."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove durably; nothing happens if it is gone already."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Make the names in `directory` durable."""
        ...

    def put_if_absent(self, staged: Path, path: Path) -> bool:
        """Give the durable file `staged` the name `path`; False if that name is taken.

        `staged` keeps its own name; both must be on one file system.
        """
        ...


class _DiskAppendFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self.size = os.fstat(self._fd).st_size
        self._broken: OSError | None = None

    def write(self, buffers: Sequence[bytes]) -> None:
        self._refuse_if_broken()
        pending = [memoryview(buffer) for buffer in buffers if buffer]
        try:
            while pending:
                written = os.writev(self._fd, pending[:_WRITEV_MAX_BUFFERS])
                self.size += written
                while pending and written >= len(pending[0]):
                    written -= len(pending.pop(0))
                if pending and written:
                    pending[0] = pending[0][written:]
        except OSError as error:
            self._broken = error
            raise

    def datasync(self) -> None:
        self._refuse_if_broken()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._broken = error
            raise

    def truncate(self, size: int) -> None:
        self._refuse_if_broken()
        os.ftruncate(self._fd, size)
        self.size = size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise OSError(self._broken.errno, f"an earlier write or sync failed: {self._path}")


class DiskFiles:
    """The real disk."""

    def open_append(self, path: Path) -> AppendFile:
        is_new = not path.exists()
        file = _DiskAppendFile(path)
        if is_new:
            # Or a power cut could leave acknowledged bytes in a file without a name.
            self.sync_directory(path.parent)
        return file

    def read(self, path: Path, offset: int, length: int) -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces: list[bytes] = []
            while length > 0 and (piece := os.pread(fd, length, offset)):
                pieces.append(piece)
                offset += len(piece)
                length -= len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            os.close(fd)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def exists(self, path: Path) -> bool:
        return path.exists()

    def list(self, directory: Path) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []

    def make_directory(self, path: Path) -> None:
        if path.is_dir():
            return
        self.make_directory(path.parent)
        path.mkdir(mode=0o750, exist_ok=True)
        self.sync_directory(path.parent)

    def replace(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with open(temporary, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # The content first: a rename may reach the disk before it.
        os.replace(temporary, path)
        self.sync_directory(path.parent)

    def replace_volatile(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(content)
        os.replace(temporary, path)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        is_new = not path.exists()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            while content:
                written = os.pwrite(fd, content, offset)
                content = content[written:]
                offset += written
            os.fdatasync(fd)
        finally:
            os.close(fd)
        if is_new:
            self.sync_directory(path.parent)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)
        self.sync_directory(new.parent)
        if old.parent != new.parent:
            self.sync_directory(old.parent)

    def unlink(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            self.sync_directory(path.parent)

    def sync_directory(self, directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def put_if_absent(self, staged: Path, path: Path) -> bool:
        try:
            os.link(staged, path)  # Fails if the name is taken, unlike rename.
        except FileExistsError:
            return False
        self.sync_directory(path.parent)
        return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


DISK: Files = DiskFiles()


class FileLock:
    """Ownership of a directory by one living process; the kernel lets go when it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock or raise LockedError naming the holder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise LockedError(f"{self.path}: held by the living process {holder}") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
