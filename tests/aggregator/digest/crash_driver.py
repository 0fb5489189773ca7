"""A process that signs digests of a given inbox and may be killed at any point of it.

    python -m tests.aggregator.digest.crash_driver HOME THROUGH

Everything before THROUGH (epoch seconds) is delivered. Ends with 0 once there is nothing to do.
"""

import sys
from pathlib import Path

from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.digest.digester import LOOK_SECONDS, Digester
from opentrail_aggregator.digest.inbox import Inbox
from opentrail_aggregator.digest.keys import FileKeys
from opentrail_aggregator.digest.settings import DigestSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from tests.fakes.clock import FakeClock


def main(path: str, through: str) -> None:
    home, clock = Home(Path(path)), FakeClock(int(through))
    destination = LocalDirectory(home, "opentrail")
    digester = Digester(
        home,
        DigestSettings(),
        clock,
        Metrics("archive", clock),
        keys=FileKeys(home.keys / "digest"),
        inbox=Inbox(home.digest / "inbox"),
        destination_of=lambda _: destination,
        delivered_through=lambda: int(through) * 10**9,
    )
    for _ in range(3):
        while digester.step():
            pass
        clock.advance(LOOK_SECONDS)
    digester.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
