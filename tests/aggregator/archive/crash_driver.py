"""A process that archives a given log and may be killed at any point of it.

    python -m tests.aggregator.archive.crash_driver HOME LOG

LOG is a pickled memory log that already holds its seals. Ends with 0 once there is nothing to do.
"""

import pickle
import sys
from pathlib import Path

from opentrail.clock import SystemClock
from opentrail.settings import Seconds
from opentrail_aggregator.archive.archiver import Archiver
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from tests.aggregator.archive.rig import MemoryLog, VerdictsOf

OBJECT_MAX_BYTES = 60_000


def main(home: str, log_path: str) -> None:
    log: MemoryLog = pickle.loads(Path(log_path).read_bytes())
    clock = SystemClock()
    archiver = Archiver(
        Home(Path(home)),
        ArchiveSettings(checkpoint=Seconds(0.02)),
        clock,
        Metrics("archive", clock),
        log=log,
        verdicts=VerdictsOf(log),  # type: ignore[arg-type]
        object_max_bytes=OBJECT_MAX_BYTES,
    )
    idle = 0
    while idle < 3:
        idle = 0 if archiver.step() else idle + 1
    archiver.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
