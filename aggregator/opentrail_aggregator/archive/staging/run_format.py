"""A run: slices of many parts, sorted by part number, then by log position, in one file.

    | block: zstd of lines | side: zstd of positions (u64 each) and derived ids | block | side | ...
    | index chunk: zstd of rows | index chunk | ... | directory: zstd msgpack | tail |

A block holds the lines of one or more slices; a slice never spans blocks. A row of the index says
where one slice lies. The directory names each part in the run and each index chunk with the part
numbers it spans, so a reader keeps next to nothing in memory. The tail is fixed and last: a run
without it was never finished and is no run.

    tail:  magic 8 | directory offset u64 | directory bytes u32 | crc32 of directory u32
           | first position u64 | last position u64 | events u64
"""

import struct
from typing import Any

import msgspec
import numpy as np

MAGIC = b"OTRUN001"
TAIL = struct.Struct("<8sQIIQQQ")
TAIL_BYTES = 48
assert TAIL.size == TAIL_BYTES

BLOCK_BYTES = 256 * 1024
"""Lines gathered before they are compressed: a cut may read a whole block for one event."""
CHUNK_ROWS = 1024
SIDE_MAX_BYTES = 64 << 20
DIRECTORY_MAX_BYTES = 256 << 20
ZSTD_LEVEL = 1

ROW: np.dtype[Any] = np.dtype(
    [
        ("number", "<u8"),
        ("first", "<u8"),
        ("last", "<u8"),
        ("oldest", "<i8"),
        ("newest", "<i8"),
        ("live_first", "<i8"),
        ("live_last", "<i8"),
        ("block", "<u8"),
        ("block_bytes", "<u4"),
        ("side_bytes", "<u4"),
        ("offset", "<u4"),
        ("raw", "<u4"),
        ("events", "<u4"),
        ("counted", "<u4"),
        ("event_offset", "<u4"),
        ("derived_offset", "<u4"),
        ("derived_bytes", "<u4"),
        ("alone", "<u4"),  # 1 if the slice is all its block holds
    ]
)


class ChunkEntry(msgspec.Struct, array_like=True):
    """Where a chunk of the index lies and which part numbers it spans."""

    first_number: int
    last_number: int
    offset: int
    bytes: int
    rows: int


class PartEntry(msgspec.Struct, array_like=True):
    """The part behind a number."""

    number: int
    trail: str
    account: str
    region: str
    hour: int
    folder: str
    importers: list[str] = []


class Directory(msgspec.Struct, array_like=True):
    """What a run holds."""

    chunks: list[ChunkEntry]
    parts: list[PartEntry]
