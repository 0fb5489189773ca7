"""What retention took out of the archive, so that the sums still close.

    HOME/archive-meta/BUCKET.removed.json

Objects delivered before `before_ns` are removed or about to be; their counts were moved here first.
"""

from pathlib import Path

import msgspec

from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.home import Home

VERSION = 1


class RemovedLedger(msgspec.Struct, kw_only=True):
    """The counts of all that is gone by retention."""

    version: int = VERSION
    before_ns: int = 0
    objects: int = 0
    events: int = 0
    counted: int = 0


def ledger_path(home: Home, bucket: str) -> Path:
    """Where the ledger of a bucket lies."""
    return home.archive_meta / f"{bucket}.removed.json"


def read_ledger(home: Home, bucket: str, files: Files = DISK) -> RemovedLedger:
    """The ledger, an empty one if nothing was ever removed."""
    path = ledger_path(home, bucket)
    if not files.exists(path):
        return RemovedLedger()
    content = files.read(path, 0, files.size(path))
    refuse_newer(path, content, VERSION)
    return msgspec.json.decode(content, type=RemovedLedger)


def write_ledger(home: Home, bucket: str, ledger: RemovedLedger, files: Files = DISK) -> None:
    """Make the ledger durable."""
    path = ledger_path(home, bucket)
    files.make_directory(path.parent)
    files.replace(path, msgspec.json.encode(ledger))
