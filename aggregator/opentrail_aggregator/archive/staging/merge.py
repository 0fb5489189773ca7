"""Merging neighbouring runs, a little per step, so that reading one part stays cheap.

Only runs with small slices are merged: what a merge saves is looking into many files for a few
bytes each; slices of a size worth reading alone gain nothing. Eight neighbours of about one size
become one, dead slices are left behind, whole blocks of one part are copied as they are.
"""

import heapq
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from opentrail_aggregator.archive.staging.run_format import PartEntry
from opentrail_aggregator.archive.staging.run_reader import Run
from opentrail_aggregator.archive.staging.run_writer import RunWriter
from opentrail_aggregator.archive.staging.store import Staging, run_name

FAN_IN = 8
SLICE_WORTH_READING_BYTES = 16 * 1024
STEP_BYTES = 2 << 20
STEP_SLICES = 2000
_TIER = 6
_SMALLEST_BYTES = 1 << 20
_number_of = itemgetter(0)


def neighbours_to_merge(runs: list[Run]) -> list[Run]:
    """FAN_IN neighbours of one tier with small slices, the oldest first, or an empty list."""
    small = [run.slice_bytes < SLICE_WORTH_READING_BYTES for run in runs]
    tiers = [_tier(run.bytes) if each else -1 for run, each in zip(runs, small, strict=True)]
    begin = 0
    while begin < len(runs):
        end = begin
        # A smaller run between larger ones is taken along, or it would part them for ever.
        while end < len(runs) and 0 <= tiers[end] <= tiers[begin]:
            end += 1
        if tiers[begin] >= 0 and end - begin >= FAN_IN:
            return runs[begin : begin + FAN_IN]
        begin += 1
    return []


class Merge:
    """One merge under way; nothing of it counts before it is done."""

    def __init__(self, staging: Staging, runs: list[Run]) -> None:
        self._staging = staging
        self._runs = runs
        first, last = runs[0].first_position, runs[-1].last_position
        self._path = staging.directory / run_name(first, last)
        self._span = (first, last)
        self._writer = RunWriter(self._path, staging.files)
        self._rows: Iterator[tuple[int, Run, Any]] = heapq.merge(
            *(_rows(run) for run in runs), key=_number_of
        )
        self._written = 0

    def step(self) -> bool:
        """Copy a little; False when the merge is done and counts."""
        if not all(run in self._staging.runs for run in self._runs):
            self.abandon()  # A checkpoint found one of them dead: begin anew with what is left.
            return False
        copied = slices = 0
        for number, run, row in self._rows:
            part = self._staging.parts.get(number)
            if part is None:
                continue
            piece = run.read(row)
            self._writer.add(self._entry(number), piece)
            self._written += 1
            copied += piece.raw_bytes
            slices += 1
            if copied >= STEP_BYTES or slices >= STEP_SLICES:
                return True
        self._finish()
        return False

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._writer.abandon()

    def _entry(self, number: int) -> PartEntry:
        return self._staging.entry_of(self._staging.parts[number])

    def _finish(self) -> None:
        if not self._written:
            self._writer.abandon()
            self._staging.replace_runs(self._runs, None)
            return
        self._writer.finish(*self._span)
        merged = Run(self._path, self._staging.files)
        merged.forget_parts()
        self._staging.replace_runs(self._runs, merged)


def _rows(run: Run) -> Iterator[tuple[int, Run, Any]]:
    for row in run.all_rows():
        yield int(row["number"]), run, row


def _tier(size: int) -> int:
    tier = 0
    while size > _SMALLEST_BYTES:
        size //= _TIER
        tier += 1
    return tier
