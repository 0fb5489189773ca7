"""How far each file was read, and what it takes to know a file again: STATE/positions.json.

A *generation* is one content over time: it keeps its id while the file is renamed, copied or
compressed, and a file whose content was cut off or replaced begins a new one. Ids that stand in for
missing eventIDs are made of it, so the order of writes matters:

- a generation is on disk before the first event from it is in the spool; a crash in between
  would otherwise read the same lines again under another generation, that is, as other events;
- a position is on disk only after the batch that holds what lies before it is; a crash in between
  reads those lines again, as the same events, and the aggregator counts copies.

So positions are written at most once a second, generations at once. A file is told by what is in
it (a growing digest of its first KiB, a digest of what was read last), device and inode only say
where to look.
"""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer

from .content import Content, digest_of_bytes, digest_of_content, read_whole
from .splitter import Layout, Place

PREFIX_BYTES = 1024
FORMAT = 1


class Entry(msgspec.Struct, kw_only=True):
    """One generation in one file."""

    generation: str
    path: str
    """Where it is, or was last."""
    origin: str
    """Where it was first: the name of its events' source."""
    device: int
    inode: int
    prefix_bytes: int = 0
    prefix: str = ""
    """Digest of the content's first bytes, PREFIX_BYTES or all there were."""
    offset: int = 0
    layout: Layout = "lines"
    tail_bytes: int = 0
    tail: str = ""
    """Digest of the bytes before `offset`."""
    size: int = 0
    """The largest that was seen of the content."""
    file_size: int = 0
    modified_ns: int = 0
    """Of the file itself, when it had been read to its end: unchanged means nothing is new."""
    ended: bool = False
    """Nothing more comes from this file."""

    @property
    def key(self) -> tuple[str, int, int]:
        return self.generation, self.device, self.inode

    @property
    def place(self) -> Place:
        return Place(self.offset, self.layout)

    def settle(self, place: Place, tail: bytes) -> None:
        """Everything before `place` is in the spool."""
        self.offset, self.layout = place.offset, place.layout
        self.tail_bytes, self.tail = len(tail), digest_of_bytes(tail, len(tail))

    def copied_to(self, path: str, device: int, inode: int) -> "Entry":
        """The same generation, as far as it was read, in another file."""
        return msgspec.structs.replace(
            self, path=path, device=device, inode=inode, ended=False, file_size=0, modified_ns=0
        )

    def is_of(self, content: Content) -> bool:
        """Whether `content` begins and goes on, up to the position, as this generation does."""
        if not self.prefix_bytes or digest_of_content(content, self.prefix_bytes) != self.prefix:
            return False
        tail = read_whole(content, self.offset - self.tail_bytes, self.tail_bytes)
        return digest_of_bytes(tail, self.tail_bytes) == self.tail or not self.tail_bytes


class _Saved(msgspec.Struct):
    version: int
    files: list[Entry]


def new_generation() -> str:
    """The id of a content that was never seen before."""
    return secrets.token_hex(16)


class Positions:
    """All entries, in memory and on disk."""

    def __init__(self, directory: Path, remembered_max: int, files: Files = DISK) -> None:
        self.path = directory / "positions.json"
        self._files = files
        self._remembered_max = remembered_max
        self._entries: dict[tuple[str, int, int], Entry] = {}
        self._durable: set[str] = set()
        self.is_dirty = False

    def load(self) -> str:
        """Read what was written; returns what is wrong with it, empty if nothing.

        Raises NewerFormatError for what a later release wrote.
        """
        self._files.make_directory(self.path.parent)
        if not self._files.exists(self.path):
            return ""
        raw = self._files.read(self.path, 0, self._files.size(self.path))
        refuse_newer(self.path, raw, FORMAT)
        try:
            saved: Any = msgspec.json.decode(raw, type=_Saved)
        except msgspec.MsgspecError as error:
            broken = self.path.with_name(self.path.name + ".broken")
            self._files.rename(self.path, broken)
            return (
                f"{self.path}: cannot be used ({error}) and was set aside as {broken.name}; every "
                "file is read from its beginning, what is known already is counted as a copy"
            )
        for entry in saved.files:
            self._entries[entry.key] = entry
            self._durable.add(entry.generation)
        return ""

    def __iter__(self) -> Any:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def joined(self, in_hand: Iterable[Entry]) -> list[Entry]:
        """All entries, and those `in_hand` that have a beginning and are not put here yet."""
        fresh = {entry.key: entry for entry in in_hand if entry.prefix_bytes}
        return list((self._entries | fresh).values())

    def put(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self.is_dirty = True

    def forget(self, entry: Entry) -> None:
        if self._entries.pop(entry.key, None) is not None:
            self.is_dirty = True

    def is_durable(self, generation: str) -> bool:
        """Whether events of `generation` may go to the spool."""
        return generation in self._durable

    def save(self) -> None:
        """Write everything; raises OSError, and then nothing has changed on disk."""
        ended = [entry for entry in self._entries.values() if entry.ended]
        for entry in ended[: max(0, len(ended) - self._remembered_max)]:
            del self._entries[entry.key]
        entries = list(self._entries.values())
        self._files.replace(self.path, msgspec.json.encode(_Saved(FORMAT, entries)))
        self._durable = {entry.generation for entry in entries}
        self.is_dirty = False
