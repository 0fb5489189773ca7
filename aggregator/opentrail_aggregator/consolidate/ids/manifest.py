"""Which runs make up the id set, and through which log position: HOME/ids/manifest.json.

    {"version": 1, "checkpoint": 812, "next_run": 7, "from_hour": 0,
     "runs": [{"name": "00000005.ids", "rows": 200000}, ...]}

Replaced as a whole, after the runs it names are durable. A run file it does not name is an orphan
of a crash and is removed; a run that it names and that cannot be read is set aside and told.
`checkpoint`: every id of an event up to this log position is in the runs; what came behind it is
read from the verdicts again. `from_hour`: earlier hours are forgotten, with the archive.
"""

from pathlib import Path

import msgspec

from opentrail.files import Files
from opentrail.formats import refuse_newer

NAME = "manifest.json"
VERSION = 1


class RunName(msgspec.Struct, frozen=True):
    """A run and how many rows it should have."""

    name: str
    rows: int


class Manifest(msgspec.Struct, kw_only=True):
    """See above."""

    version: int = VERSION
    checkpoint: int = 0
    next_run: int = 1
    from_hour: int = 0
    runs: list[RunName] = []


def read_manifest(directory: Path, files: Files) -> Manifest:
    """The manifest in `directory`, an empty one if there is none."""
    path = directory / NAME
    if not files.exists(path):
        return Manifest()
    content = files.read(path, 0, files.size(path))
    refuse_newer(path, content, VERSION)
    return msgspec.json.decode(content, type=Manifest)


def write_manifest(directory: Path, manifest: Manifest, files: Files) -> None:
    """Make `manifest` the one that counts; durable when this returns."""
    files.replace(directory / NAME, msgspec.json.encode(manifest))
