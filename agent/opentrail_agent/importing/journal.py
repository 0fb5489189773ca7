"""How far each file is in the spool: STATE/import.journal, one line each time.

    <generation> <offset> <layout>
    <generation> done

Absent means format 1; a later one begins with the line `format N`.

It is written after the spool, so a crash in between sends some events again, which the aggregator
counts as copies.
"""

from pathlib import Path
from typing import get_args

from opentrail.files import DISK, Files
from opentrail.formats import newer

from ..capture.splitter import Layout, Place


class Journal:
    """How far each generation is in the spool."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self._path = directory / "import.journal"
        self._files = files
        self._reached: dict[str, Place | None] = {}
        files.make_directory(directory)
        text = b""
        if files.exists(self._path):
            text = files.read(self._path, 0, files.size(self._path))
        for line in text.decode("ascii", "replace").splitlines():
            self._read(line.split())
        self._file = files.open_append(self._path)
        if text and not text.endswith(b"\n"):
            self._file.write([b"\n"])  # A torn line must not take the next one with it.

    def reached(self, generation: str) -> Place | None:
        """Where to go on; None: nothing is left."""
        return self._reached.get(generation, Place())

    def write(self, reached: dict[str, Place | None]) -> None:
        """Remember; worth something only after `sync`, but lines may survive without."""
        lines = [
            f"{generation} {place.offset} {place.layout}\n" if place else f"{generation} done\n"
            for generation, place in reached.items()
        ]
        self._reached |= reached
        self._file.write(["".join(lines).encode()])

    def close(self) -> None:
        """Make what was written durable."""
        if self._files.exists(self._path):
            self._file.datasync()
        self._file.close()

    def remove(self) -> None:
        self._files.unlink(self._path)

    def _read(self, words: list[str]) -> None:
        match words:
            case ["format", number]:
                if number != "1":
                    raise newer(self._path, number, 1)
            case [generation, "done"]:
                self._reached[generation] = None
            case [generation, offset, layout] if offset.isdigit():
                for known in get_args(Layout):
                    if known == layout:
                        self._reached[generation] = Place(int(offset), known)
