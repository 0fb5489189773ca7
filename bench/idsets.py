"""How fast the id set is and how much memory it takes.

    .venv/bin/python bench/idsets.py --ids 60000000 --case hour
    .venv/bin/python bench/idsets.py --ids 20000000 --case days

`hour`: all ids in one hour; `days`: spread over 90 days in random order. Ids are random and asked
for in batches as consolidate does; after every hundredth an old batch is asked again, and every
answer is checked. Merging is done between
batches, within the bound that a step of consolidate has.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opentrail_aggregator.consolidate.ids.idsets import FAN_IN, IdSets

BATCH = 5_000
MERGE_ROWS_PER_ID = 6


def anonymous_mb() -> float:
    """Anonymous memory of this process, the measure of the limit."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def batch_of(number: int, case: str) -> tuple[list[bytes], NDArray[np.int64]]:
    """Keys and hours of a batch, the same each time."""
    generator = np.random.default_rng([2, number])
    random = generator.bytes(16 * BATCH)
    hours = np.full(BATCH, 495_000, dtype=np.int64)
    if case == "days":
        hours -= generator.integers(0, 90 * 24, BATCH)
    return [random[at : at + 16] for at in range(0, len(random), 16)], hours


def run(ids: int, case: str, directory: Path) -> None:
    """Put `ids` ids through a set in `directory` and print a line for each tenth."""
    choice = np.random.default_rng(1)
    held = IdSets(directory)
    started, busy, slowest, highest, asked = time.monotonic(), 0.0, 0.0, 0.0, 0
    start_mb = anonymous_mb()
    print(f"case {case}: {ids:,} ids, {start_mb:.0f} MB at the start")
    for done in range(0, ids, BATCH):
        number = done // BATCH
        batches = [number, int(choice.integers(0, number + 1))] if number % 100 == 99 else [number]
        inputs = [batch_of(each, case) for each in batches]
        before, wall = time.process_time(), time.monotonic()
        for each, (keys, hours) in zip(batches, inputs, strict=True):
            positions = np.arange(each * BATCH, (each + 1) * BATCH, dtype=np.uint64)
            claimed = positions if each == number else positions + np.uint64(1 << 40)
            _, first = held.find_or_add(keys, hours, positions, claimed)
            asked += BATCH
            if not np.array_equal(first, positions):
                sys.exit(f"a wrong answer about batch {each} behind batch {number}")
        if held.is_full:
            held.spill(done)
        held.work(MERGE_ROWS_PER_ID * BATCH)
        busy += time.process_time() - before
        slowest = max(slowest, time.monotonic() - wall)
        highest = max(highest, anonymous_mb())
        if (done // BATCH + 1) % max(1, ids // BATCH // 10) == 0:
            figures = held.figures()
            print(
                f"  {figures['ids']:>12,} ids  {figures['runs']:>3} runs "
                f"{figures['bytes'] / 1e6:>8,.0f} MB on disk  "
                f"{busy / asked * 1e6:.2f} us/id  anonymous {highest:.0f} MB at most  "
                f"slowest step {slowest * 1e3:.0f} ms",
                flush=True,
            )
    held.close()
    print(f"  {time.monotonic() - started:.0f} s in all, merges by {FAN_IN}")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ids", type=int, default=5_000_000)
    parser.add_argument("--case", choices=("hour", "days"), default="hour")
    parser.add_argument("--directory", type=Path, help="where the set lies; default a new folder")
    arguments = parser.parse_args()
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="idsets-", dir="."))
    try:
        run(arguments.ids, arguments.case, directory)
    finally:
        if arguments.directory is None:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
