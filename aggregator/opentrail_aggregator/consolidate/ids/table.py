"""The newest ids, in memory, until there are enough of them for a run."""

import numpy as np
from numpy.typing import NDArray

from opentrail_aggregator.consolidate.ids.rows import Column, Rows, key_columns, sorted_rows


class Table:
    """Key -> number, and three columns under that number. About 150 bytes per id."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._hours: NDArray[np.int64] = np.empty(1024, dtype=np.int64)
        self._hashes: Column = np.empty(1024, dtype=np.uint64)
        self._positions: Column = np.empty(1024, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._numbers)

    def find_or_add(
        self,
        keys: list[bytes],
        wanted: NDArray[np.intp],
        hours: NDArray[np.int64],
        hashes: Column,
        positions: Column,
    ) -> tuple[NDArray[np.intp], Column, Column]:
        """Add the `wanted` keys that are not here, in order.

        Returns indexes of those that were here before (or came earlier in this call), and the
        hash and position that are held for them.
        """
        numbers = self._numbers
        size = len(numbers)
        added: list[int] = []
        found: list[int] = []
        held: list[int] = []
        for index in wanted.tolist():
            number = numbers.setdefault(keys[index], size)
            if number == size:
                added.append(index)
                size += 1
            else:
                found.append(index)
                held.append(number)
        self._extend(size - len(added), hours[added], hashes[added], positions[added])
        return (
            np.array(found, dtype=np.intp),
            self._hashes[held],
            self._positions[held],
        )

    def _extend(
        self, size: int, hours: NDArray[np.int64], hashes: Column, positions: Column
    ) -> None:
        end = size + len(hours)
        if end > len(self._hashes):
            room = max(end, 2 * len(self._hashes))
            self._hours = np.resize(self._hours, room)
            self._hashes = np.resize(self._hashes, room)
            self._positions = np.resize(self._positions, room)
        self._hours[size:end] = hours
        self._hashes[size:end] = hashes
        self._positions[size:end] = positions

    def rows(self) -> Rows:
        """All ids, sorted."""
        size = len(self._numbers)
        prefix, low = key_columns(b"".join(self._numbers), self._hours[:size])
        return sorted_rows(prefix, low, self._hashes[:size], self._positions[:size])
