"""What is left in a home: quick to tell, so that every start can ask."""

from opentrail.files import DISK, Files
from opentrail.segment.store import segment_positions
from opentrail_aggregator.home import Home

MARK = "rebuilding.json"
"""There while a rebuild is under way, and after one that was interrupted."""


def holds_a_log(home: Home, files: Files = DISK) -> bool:
    """Whether there is a log, with a segment at least."""
    return bool(segment_positions(files.list(home.log)))


def may_start(home: Home, files: Files = DISK) -> bool:
    """Whether the log is simply there; else the archive has to be asked (see `guard`)."""
    return holds_a_log(home, files) and not files.exists(home.path / MARK)
