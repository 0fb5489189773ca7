"""What was delivered without a digest: the newest manifest of each trail that had no validation.

    HOME/digest/unvalidated/NAME.json     {"format", "trail", "key", "sha256"}

Durable before the archive forgets the delivery. By it `verify` knows, whatever lies in the bucket,
which log files no digest has to list: those of this manifest and of the ones it chains back to,
where they say so.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.archive.deliveries import Delivery
from opentrail_aggregator.archive.keys import unique_name
from opentrail_aggregator.archive.vouched import Head

_FOLDER = "unvalidated"
_SUFFIX = ".json"
_FORMAT = 1


class _Note(msgspec.Struct, kw_only=True, frozen=True):
    format: int = _FORMAT
    trail: str
    key: str
    sha256: str


def note_unvalidated(directory: Path, delivery: Delivery, files: Files = DISK) -> None:
    """Remember a delivery; `directory` is HOME/digest."""
    folder = directory / _FOLDER
    files.make_directory(folder)
    manifest = delivery.manifest
    note = _Note(trail=delivery.trail, key=manifest.key, sha256=manifest.sha256)
    files.replace(folder / f"{unique_name(delivery.trail)}{_SUFFIX}", msgspec.json.encode(note))


def read_unvalidated(directory: Path, files: Files = DISK) -> Iterator[Head]:
    """The newest of each such trail, from any process."""
    folder = directory / _FOLDER
    for name in files.list(folder):
        if not name.endswith(_SUFFIX):
            continue
        path = folder / name
        content = files.read(path, 0, files.size(path))
        refuse_newer(path, content, _FORMAT)
        try:
            note = msgspec.json.decode(content, type=_Note)
        except msgspec.MsgspecError as error:
            raise DamagedError(
                f"{path}: cannot be read ({error}); move it away: `opentrail verify` then names "
                "log files of this trail until its next delivery"
            ) from error
        yield Head(note.key, note.sha256)
