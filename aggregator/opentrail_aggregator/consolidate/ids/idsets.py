"""The exact set of event ids: a table in memory in front of sorted runs on disk.

Ids go into the table; at `SPILL_IDS` it becomes a run. Runs of a size are merged by four into one
of the next size, in bounded pieces between the batches, so an id is rewritten a few times and a
lookup asks few runs. Memory is the table and a block per run being merged, whatever the set holds.

Order of durability, for a spill and for the end of a merge: the run, then the manifest that names
it, then the removal of the runs it replaces. A crash before the manifest leaves an orphan; after
it, replaced runs that nobody names: both are removed at the next start.

Asking again about an event that is in the set finds the event itself (its own position), so
repeating work after a crash changes nothing.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opentrail.crash import crash_point
from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail_aggregator.consolidate.ids.manifest import (
    RunName,
    read_manifest,
    write_manifest,
)
from opentrail_aggregator.consolidate.ids.merge import Merge, merged_hours
from opentrail_aggregator.consolidate.ids.rows import (
    HASH,
    KEY_BITS,
    POSITION,
    PREFIX,
    Column,
    biased_hour,
    key_columns,
)
from opentrail_aggregator.consolidate.ids.run import Mapper, Run, RunWriter, filter_path, map_file
from opentrail_aggregator.consolidate.ids.table import Table

SPILL_IDS = 131_072
"""About 20 MB of table."""
FAN_IN = 4
MERGE_MAX_RUNS = 8
RUN_MAX_ROWS = 1 << 27
"""Larger runs are not made: 4 GiB."""


class IdSets:
    """The one owner of HOME/ids. Not safe for two threads at once."""

    def __init__(
        self,
        directory: Path,
        files: Files = DISK,
        *,
        mapper: Mapper = map_file,
        spill_ids: int = SPILL_IDS,
    ) -> None:
        self._directory = directory
        self._files = files
        self._mapper = mapper
        self._spill_ids = spill_ids
        self.notes: list[str] = []
        """What opening found wrong."""
        files.make_directory(directory)
        self._manifest = read_manifest(directory, files)
        self._runs = self._open_runs()
        self._table = Table()
        self._merge: Merge | None = None
        self._remove_orphans()

    # Asking and adding.

    @property
    def checkpoint(self) -> int:
        """Ids of all events through this log position are in runs."""
        return self._manifest.checkpoint

    def __len__(self) -> int:
        return len(self._table) + sum(run.rows for run in self._runs)

    def find_or_add(
        self, keys: list[bytes], hours: NDArray[np.int64], hashes: Column, positions: Column
    ) -> tuple[Column, Column]:
        """The hash and position of the first event of each key, adding those that are new.

        For a new key these are its own; within one call the first of several equal keys counts.
        """
        first_hash, first_position = hashes.copy(), positions.copy()
        if not keys:
            return first_hash, first_position
        wanted = np.ones(len(keys), dtype=np.bool_)
        if self._runs:
            self._find_in_runs(keys, hours, wanted, first_hash, first_position)
        found, held_hash, held_position = self._table.find_or_add(
            keys, np.flatnonzero(wanted), hours, hashes, positions
        )
        first_hash[found] = held_hash
        first_position[found] = held_position
        return first_hash, first_position

    def _find_in_runs(
        self,
        keys: list[bytes],
        hours: NDArray[np.int64],
        wanted: NDArray[np.bool_],
        first_hash: Column,
        first_position: Column,
    ) -> None:
        prefix, low = key_columns(b"".join(keys), hours)
        order = np.argsort(prefix, kind="stable")
        prefix, low = prefix[order], low[order]
        distinct, hour_of = np.unique(prefix >> np.uint64(KEY_BITS), return_inverse=True)
        for run in self._runs:
            indexes, rows = run.find(prefix, low, distinct, hour_of)
            if len(indexes):
                events = order[indexes]
                wanted[events] = False
                first_hash[events] = rows[:, HASH]
                first_position[events] = rows[:, POSITION]

    # Spilling.

    @property
    def is_full(self) -> bool:
        """The table should be spilled."""
        return len(self._table) >= self._spill_ids

    def spill(self, checkpoint: int) -> None:
        """Make a run of the table; every event through `checkpoint` has a durable verdict."""
        rows = self._table.rows()
        if len(rows):
            path = self._new_path()
            hours, counts = np.unique(rows[:, PREFIX] >> np.uint64(KEY_BITS), return_counts=True)
            writer = RunWriter(path, hours, counts.astype(np.uint64), self._files)
            writer.write(rows)
            writer.finish()
            crash_point("ids.spilled")
            self._runs.append(Run(path, self._mapper))
        self._manifest.checkpoint = checkpoint
        self._write_manifest()
        self._table = Table()
        crash_point("ids.checkpointed")

    def add_bulk(
        self, keys: list[bytes], hours: NDArray[np.int64], hashes: Column, positions: Column
    ) -> int:
        """Add ids known from elsewhere (a rebuild from the archive); how many were new.

        Spills and merges as it goes without moving the checkpoint. Durable after `spill`.
        """
        before = len(self._table)
        self.find_or_add(keys, hours, hashes, positions)
        added = len(self._table) - before
        if self.is_full:
            self.spill(self.checkpoint)
        self.work(FAN_IN * len(keys))
        return added

    # Merging.

    def work(self, rows: int) -> bool:
        """Merge about `rows` rows; True if there is more to merge."""
        if self._merge is None:
            chosen = self._choose()
            if not chosen:
                return False
            if not len(merged_hours(chosen, self._from_hour)[0]):
                self._replace(chosen, [])  # All of it is forgotten.
                return True
            self._merge = Merge(chosen, self._new_path(), self._from_hour, self._files)
        if self._merge.work(rows):
            self._finish_merge(self._merge)
            self._merge = None
        return True

    def _choose(self) -> list[Run]:
        """Runs of about the same size, if there are enough; the smallest size first."""
        sizes: dict[int, list[Run]] = {}
        for run in self._runs:
            sizes.setdefault(int(math.log(run.rows, FAN_IN)), []).append(run)
        for _, runs in sorted(sizes.items()):
            chosen = runs[:MERGE_MAX_RUNS]
            if len(chosen) >= FAN_IN and sum(run.rows for run in chosen) <= RUN_MAX_ROWS:
                return chosen
        # Runs of which the archive has forgotten the larger half.
        for run in self._runs:
            if 2 * run.row_at_or_behind(self._from_hour) > run.rows:
                return [run]
        return []

    def _finish_merge(self, merge: Merge) -> None:
        crash_point("ids.merged")
        self._replace(merge.runs, [Run(merge.path, self._mapper)])

    def _replace(self, old: list[Run], new: list[Run]) -> None:
        self._runs = [run for run in self._runs if run not in old] + new
        self._write_manifest()
        crash_point("ids.merge_named")
        self._remove(old)

    # Forgetting.

    @property
    def _from_hour(self) -> int:
        return self._manifest.from_hour

    def forget_before(self, hour: int) -> None:
        """Let go of ids of events before `hour` (since 1970); their room is freed by and by."""
        from_hour = biased_hour(hour)
        if from_hour <= self._from_hour:
            return
        self._manifest.from_hour = from_hour
        merging = self._merge.runs if self._merge is not None else []
        gone = [
            run
            for run in self._runs
            if run not in merging and not len(merged_hours([run], from_hour)[0])
        ]
        self._replace(gone, [])

    # Files.

    def _open_runs(self) -> list[Run]:
        runs = []
        for named in self._manifest.runs:
            path = self._directory / named.name
            try:
                run = Run(path, self._mapper)
                if run.rows != named.rows:
                    raise DamagedError(f"{path}: {run.rows} rows, the manifest says {named.rows}")
            except (DamagedError, OSError) as error:
                self.notes.append(
                    f"{error}; the run is set aside: copies of its {named.rows} events could be "
                    "kept a second time until the id set is rebuilt from the archive"
                )
                for each in (path, filter_path(path)):
                    if self._files.exists(each):
                        self._files.rename(each, each.with_name(each.name + ".broken"))
            else:
                runs.append(run)
        return runs

    def _new_path(self) -> Path:
        path = self._directory / f"{self._manifest.next_run:08d}.ids"
        self._manifest.next_run += 1
        return path

    def _write_manifest(self) -> None:
        self._manifest.runs = [RunName(run.path.name, run.rows) for run in self._runs]
        write_manifest(self._directory, self._manifest, self._files)

    def _remove_orphans(self) -> None:
        named = {run.path.stem for run in self._runs}
        for name in self._files.list(self._directory):
            if name.endswith((".ids", ".filter")) and name.split(".")[0] not in named:
                self._files.unlink(self._directory / name)
                self._manifest.next_run = max(self._manifest.next_run, int(name.split(".")[0]) + 1)

    def _remove(self, runs: list[Run]) -> None:
        for run in runs:
            self._files.unlink(run.path)
            self._files.unlink(filter_path(run.path))

    def damage(self) -> list[str]:
        """Reads every run in full; what is wrong with them."""
        return [found for run in self._runs if (found := run.damage())]

    @property
    def size_bytes(self) -> int:
        return sum(run.size_bytes for run in self._runs)

    def figures(self) -> dict[str, int]:
        """For status: ids held, how many of them in memory, runs, bytes on disk, checkpoint."""
        return {
            "ids": len(self),
            "in_memory": len(self._table),
            "runs": len(self._runs),
            "bytes": self.size_bytes,
            "checkpoint": self.checkpoint,
        }

    def close(self) -> None:
        """Release everything; what is only in memory is read from the verdicts again."""
        if self._merge is not None:
            self._merge.abandon()
            self._merge = None
        self._runs = []
