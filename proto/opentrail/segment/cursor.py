"""A small state that survives any crash: two slots, written in turn.

    slot:  crc32 u32 | generation u64 | length u32 | payload        (each slot 4,096 bytes)

The slot with the higher valid generation counts. A crash while one is written leaves the other, so
after a crash the file holds the state before the last `write` or the one it wrote. Both slots
damaged reads as None and is told by `damaged`: the owner must then start from what it knows best,
never from zero in silence.
"""

import os
import struct
import zlib
from pathlib import Path

from opentrail.errors import LimitError
from opentrail.files import DISK, Files
from opentrail.limits import CURSOR_MAX_BYTES

_HEADER = struct.Struct("<IQI")
_SLOT_BYTES = 4096
assert _HEADER.size + CURSOR_MAX_BYTES <= _SLOT_BYTES


class CursorFile:
    """A state of at most CURSOR_MAX_BYTES in a file of its own."""

    def __init__(self, path: Path, files: Files = DISK) -> None:
        self.path = path
        self.files = files
        self.damaged = False
        """The file is there, but no slot of it can be read."""
        self._generation = 0

    def read(self) -> bytes | None:
        """The state last written, or None if there is none."""
        if not self.files.exists(self.path):
            return None
        data = self.files.read(self.path, 0, 2 * _SLOT_BYTES)
        slots = [slot for slot in (_read_slot(data, 0), _read_slot(data, _SLOT_BYTES)) if slot]
        self.damaged = not slots and bool(data)
        if not slots:
            return None
        self._generation, payload = max(slots)
        return payload

    def write(self, payload: bytes) -> None:
        """Make `payload` the state; durable when this returns."""
        if len(payload) > CURSOR_MAX_BYTES:
            raise LimitError(
                f"{self.path}: a state of {len(payload)} bytes, limit {CURSOR_MAX_BYTES}"
            )
        if self._generation == 0:
            self.read()
        generation = self._generation + 1
        body = _HEADER.pack(0, generation, len(payload))[4:] + payload
        slot = (zlib.crc32(body).to_bytes(4, "little") + body).ljust(_SLOT_BYTES, b"\0")
        self.files.overwrite(self.path, (generation % 2) * _SLOT_BYTES, slot)
        self._generation = generation


def _read_slot(data: bytes, offset: int) -> tuple[int, bytes] | None:
    slot = data[offset : offset + _SLOT_BYTES]
    if len(slot) < _HEADER.size:
        return None
    crc, generation, length = _HEADER.unpack_from(slot)
    body = slot[4 : _HEADER.size + length]
    if not generation or length > CURSOR_MAX_BYTES or zlib.crc32(body) != crc:
        return None
    return generation, slot[_HEADER.size : _HEADER.size + length]


def published(path: Path) -> int:
    """The number in an eight-byte file that another process keeps, 0 if there is none yet."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return int.from_bytes(os.pread(fd, 8, 0), "little")
    finally:
        os.close(fd)
