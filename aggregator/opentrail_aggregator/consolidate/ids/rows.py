"""What is kept of one event id: four 64-bit numbers, 32 bytes.

    prefix      24 bits hour of the event | upper 40 bits of its key
    low         lower 64 bits of its key
    hash        first 8 bytes of the SHA-256 of the record's bytes
    position    where the first event of this key lies in the log: frame << 16 | ordinal

The hour stands in front in the clear, so that a run sorted by `prefix` is sorted by time: lookups
of live traffic touch one small part of it, and what is older than the archive lies at its head.
Hour and 104 bits of the key identify an event. The 24 bits that are left out cost nothing even
against a sender who can find collisions: events that agree in all of this and differ in content
are a conflict, and nothing of a conflict is lost.
"""

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.uint64]
Rows = NDArray[np.uint64]
"""Shape (n, 4)."""

ROW_BYTES = 32
PREFIX, LOW, HASH, POSITION = range(4)

_HOUR_BITS = 24
_HOUR_ZERO = 1 << (_HOUR_BITS - 1)
_HOUR_MAX = (1 << _HOUR_BITS) - 1
KEY_BITS = 64 - _HOUR_BITS


def biased_hours(hours: NDArray[np.int64]) -> Column:
    """Hours since 1970 as 24 bits without sign: the years 1013 to 2926.

    Hours outside share the first or the last number. They stay distinct events, since the key
    itself is made with the hour.
    """
    return np.clip(hours + _HOUR_ZERO, 0, _HOUR_MAX).astype(np.uint64)


def biased_hour(hour: int) -> int:
    """The same for one hour."""
    return min(max(hour + _HOUR_ZERO, 0), _HOUR_MAX)


def key_columns(keys: bytes, hours: NDArray[np.int64]) -> tuple[Column, Column]:
    """The prefix and the lower part of each 16-byte key in `keys`."""
    pairs = np.frombuffer(keys, dtype=">u8").reshape(-1, 2)
    upper = pairs[:, 0].astype(np.uint64) >> np.uint64(_HOUR_BITS)
    return (biased_hours(hours) << np.uint64(KEY_BITS)) | upper, pairs[:, 1].astype(np.uint64)


def sorted_rows(prefix: Column, low: Column, hash_: Column, position: Column) -> Rows:
    """Rows in the order of their prefix."""
    rows = np.empty((len(prefix), 4), dtype=np.uint64)
    order = np.argsort(prefix, kind="stable")
    for column, values in enumerate((prefix, low, hash_, position)):
        rows[:, column] = values[order]
    return rows
