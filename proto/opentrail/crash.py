"""Named places where a test can make this process die as if by `kill -9`.

`OPENTRAIL_CRASH_AT=wal.written:3` kills the process at its third pass through that place. A name
may be given several times separated by commas. Unset, a pass costs one dictionary test.
"""

import os
import signal

VARIABLE = "OPENTRAIL_CRASH_AT"


def _parse(text: str) -> dict[str, int]:
    remaining: dict[str, int] = {}
    for item in filter(None, text.split(",")):
        point, _, passes = item.strip().partition(":")
        remaining[point] = int(passes or 1)
    return remaining


_remaining = _parse(os.environ.get(VARIABLE, ""))


def crash_point(point: str) -> None:
    """Die here if the environment says so; otherwise do nothing."""
    if not _remaining or point not in _remaining:
        return
    _remaining[point] -= 1
    if _remaining[point] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
