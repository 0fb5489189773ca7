"""One run out of several, a bounded piece at a time.

Each input is read in blocks. The smallest last prefix among the blocks is the bound: every row up
to it is at hand, so these rows are sorted and written, and the blocks that ran out are read on.
Memory is a block per input whatever the runs hold. The merge lives in memory only: after a crash
the half-written output is an orphan, the inputs are all there, and merging begins anew.
"""

from pathlib import Path

import numpy as np

from opentrail.files import DISK, Files
from opentrail_aggregator.consolidate.ids.rows import PREFIX, ROW_BYTES, Column, Rows
from opentrail_aggregator.consolidate.ids.run import Run, RunWriter

BLOCK_ROWS = 8192


class _Input:
    """Where a merge is in one of its runs."""

    def __init__(self, run: Run, first_row: int, files: Files) -> None:
        self.run = run
        self.files = files
        self.next_row = first_row
        self.block: Rows = np.empty((0, 4), dtype=np.uint64)
        self.fill()

    def fill(self) -> None:
        """Read the next block when this one is used up."""
        count = min(BLOCK_ROWS, self.run.rows - self.next_row)
        if len(self.block) or not count:
            return
        # Read, not mapped: a pass over everything must not push out what lookups need.
        data = self.files.read(self.run.path, self.next_row * ROW_BYTES, count * ROW_BYTES)
        self.block = np.frombuffer(data, np.uint64).reshape(-1, 4)
        self.next_row += len(self.block)

    @property
    def ended(self) -> bool:
        return not len(self.block)

    def last_prefix(self) -> int:
        return int(self.block[-1, PREFIX])

    def take(self, bound: int) -> Rows:
        """The rows of the block with a prefix of at most `bound`."""
        end = int(np.searchsorted(self.block[:, PREFIX], np.uint64(bound), side="right"))
        taken, self.block = self.block[:end], self.block[end:]
        self.fill()
        return taken


class Merge:
    """Writes the rows of `runs` from biased hour `from_hour` on to a new run at `path`."""

    def __init__(
        self, runs: list[Run], path: Path, from_hour: int = 0, files: Files = DISK
    ) -> None:
        self.runs = runs
        self.path = path
        hours, counts = merged_hours(runs, from_hour)
        self.rows = int(counts.sum())
        self._writer = RunWriter(path, hours, counts, files)
        self._inputs = [_Input(run, run.row_at_or_behind(from_hour), files) for run in runs]

    def work(self, rows: int) -> bool:
        """Merge about `rows` rows; True when the output is complete and durable."""
        while rows > 0:
            self._inputs = [each for each in self._inputs if not each.ended]
            if not self._inputs:
                self._writer.finish()
                return True
            bound = min(each.last_prefix() for each in self._inputs)
            taken = np.concatenate([each.take(bound) for each in self._inputs])
            order = np.argsort(taken[:, PREFIX], kind="stable")
            self._writer.write(taken[order])
            rows -= len(taken)
        return False

    def abandon(self) -> None:
        """Give up; the output is an orphan."""
        self._writer.abandon()


def merged_hours(runs: list[Run], from_hour: int) -> tuple[Column, Column]:
    """The hours of all runs from `from_hour` on, and the rows of each in all of them."""
    hours = np.concatenate([run.hours for run in runs])
    counts = np.concatenate([run.counts() for run in runs])
    kept = hours >= np.uint64(from_hour)
    distinct, place = np.unique(hours[kept], return_inverse=True)
    summed = np.zeros(len(distinct), dtype=np.uint64)
    np.add.at(summed, place, counts[kept])
    return distinct, summed
