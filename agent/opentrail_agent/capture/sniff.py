"""Whether a file that nobody named looks like JSON.

A folder also holds what is not records (LICENSE, README, images); read line by line it would only
fill the quarantine. A file named in full is not asked.
"""

import logging
import os
import zlib
from collections.abc import Container

from ..metrics import Metrics
from .content import GZIP_MAGIC

Key = tuple[int, int]

_SNIFF_BYTES = 64 * 1024
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_BEGINS = (b"{", b"[")
_GZIP_WINDOW = 31  # zlib: expect a gzip header

_log = logging.getLogger(__name__)


def beginning_of(fd: int) -> bytes:
    """The first bytes of what a file holds, uncompressed; what cannot be read of it is left out."""
    raw = os.pread(fd, _SNIFF_BYTES, 0)
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(raw, _SNIFF_BYTES)
    except zlib.error:
        return b""  # Whoever reads it says what is wrong.


def why_not_json(beginning: bytes) -> str:
    """Why a file that begins so holds no JSON, empty if it does or nothing is known yet."""
    text = beginning.removeprefix(_BOM).lstrip(_BLANK)
    if text.startswith(_BEGINS) or (not text and len(beginning) < _SNIFF_BYTES):
        return ""
    return f"does not look like JSON: it begins with {text[:1]!r}" if text else "begins blank"


def why_no_lines(beginning: bytes) -> str:
    """The same for a file that is being written: one that was cut off may begin within a line, or
    with the hole of NUL bytes that its writer left."""
    why = why_not_json(beginning.lstrip(b"\0"))
    if why and any(line.lstrip(_BLANK).startswith(b"{") for line in beginning.split(b"\n")[1:]):
        return ""
    return why


class Skipped:
    """Files behind globs that are not followed; each is looked at again when it changes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._files: dict[Key, tuple[int, int]] = {}

    def is_known(self, key: Key, found: os.stat_result) -> bool:
        """Whether the file was skipped as it is now."""
        return self._files.get(key) == (found.st_size, found.st_mtime_ns)

    def adds(self, key: Key, path: str, pattern: str, fd: int) -> bool:
        """Whether the open file at `path`, found behind `pattern`, is to be skipped."""
        found = os.fstat(fd)
        why = why_no_lines(beginning_of(fd)) if path != pattern else ""
        if not why:
            self._files.pop(key, None)
            return False
        if key not in self._files:
            _log.warning("%s: not followed: %s; to follow it, name it in full", path, why)
        self._files[key] = (found.st_size, found.st_mtime_ns)
        return True

    def keep(self, seen: Container[Key]) -> None:
        """Forget all files but those that are still there."""
        self._files = {key: each for key, each in self._files.items() if key in seen}
        self._metrics.set("opentrail_agent_skipped_files", len(self._files))
