"""Write the sample to files as an application with a rotating log would.

    HOME/sample/cloudtrail.ndjson        being written
    HOME/sample/cloudtrail.ndjson.1 …    renamed away at 32 MB, the eighth is removed

Run as a process: `python -m opentrail_aggregator.sample.producer DIRECTORY RATE`. It is a source
like any other, so it promises what a log file does: nothing is fsynced, and what the last rotation
removed is gone.
"""

import argparse
import os
import random
import signal
import sys
from pathlib import Path

from opentrail.clock import Clock, SystemClock
from opentrail.files import DISK, Files
from opentrail_aggregator.sample.stream import SampleStream
from opentrail_aggregator.supervise.parent import die_with_parent

FILE_NAME = "cloudtrail.ndjson"
ROTATE_BYTES = 32 * 1024 * 1024
KEEP_ROTATED = 8
TICK_SECONDS = 0.1
_MAX_CATCH_UP_SECONDS = 1.0


class Producer:
    """Appends `rate` calls per second to a file and rotates it."""

    def __init__(
        self,
        directory: Path,
        rate: float,
        *,
        clock: Clock,
        seed: int,
        rotate_bytes: int = ROTATE_BYTES,
        files: Files = DISK,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / FILE_NAME
        self._rate = rate
        self._clock = clock
        self._files = files
        self._stream = SampleStream(seed)
        self._rotate_bytes = rotate_bytes
        self._last = clock.monotonic()
        self._due = 1.0
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (held until it is rotated)
        self._end_a_cut_line()

    def write_due(self) -> int:
        """Write what is due by now; returns the number of lines written."""
        now = self._clock.monotonic()
        # After a pause (a stopped process, a slept laptop) an application does not catch up hours.
        self._due += min(now - self._last, _MAX_CATCH_UP_SECONDS) * self._rate
        self._last = now
        seconds = self._clock.now_ns() // 1_000_000_000
        lines: list[bytes] = []
        while self._due >= 1.0:
            self._due -= 1.0
            lines += self._stream.lines(seconds)
        if lines:
            self._append(b"\n".join(lines) + b"\n")
        if self._file.tell() >= self._rotate_bytes:
            self.rotate()
        return len(lines)

    def rotate(self) -> None:
        """Rename the file away and begin the next, dropping the oldest."""
        self._file.close()
        for number in range(KEEP_ROTATED, 0, -1):
            old = self.path if number == 1 else self._rotated(number - 1)
            if old.exists():
                self._files.rename(old, self._rotated(number))
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115

    def close(self) -> None:
        self._file.close()

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{FILE_NAME}.{number}")

    def _append(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]

    def _end_a_cut_line(self) -> None:
        """A kill may have cut the last line; a line of its own keeps the next record whole."""
        size = self.path.stat().st_size
        if size:
            with open(self.path, "rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    self._append(b"\n")


def main() -> int:
    die_with_parent()
    parser = argparse.ArgumentParser(description="write a sample of CloudTrail records to files")
    parser.add_argument("directory", type=Path)
    parser.add_argument("rate", type=float, help="calls per second")
    parser.add_argument("--seed", type=int, help="the same seed makes the same company")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(48)
    clock = SystemClock()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    producer = Producer(options.directory, options.rate, clock=clock, seed=seed)
    while not stopping:
        producer.write_due()
        clock.pause(TICK_SECONDS)
    producer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
