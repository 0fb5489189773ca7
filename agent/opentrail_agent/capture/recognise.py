"""Whether a file that turned up holds a content that is known already.

A file is known by its content, not by its name: it begins with the bytes a generation began with,
and the bytes before the position are the ones read there. Names only narrow down whom to compare
with, because two files may well begin alike: a *copy* (by copytruncate, by gzip, by hand) bears
the name of the original with something that rotation adds.
"""

import enum
import functools
import os
import re
from collections.abc import Sequence

from .content import Content, digest_of_content
from .positions import PREFIX_BYTES, Entry
from .splitter import TAIL_BYTES, Place

_CHUNK_BYTES = 1 << 20

_ADDED = re.compile(
    r"(?:\.gz|\.old|\.bak|\.copy|[.\-_][0-9][0-9\-_:TZ]*)+$|[\-_.][0-9]{8}[0-9\-_:TZ]*(?=\.[a-z]+$)"
)
# A name that only rotation gives: such a file may still be in the making.
_ROTATED = re.compile(r"(?:\.gz|\.old|\.bak|\.copy|[.\-_][0-9][0-9\-_:TZ]*)$")


class Unsure(enum.Enum):
    """Ask again later."""

    NOT_LONG_ENOUGH = "begins like a known content, but is still shorter than what was read of it"
    ORIGINAL_LIVES = "holds a known content whose own file is still there"
    ORIGINAL_UNREAD = "may be a copy of a followed file of which nothing was read yet"


@functools.lru_cache(maxsize=20_000)
def family(path: str) -> str:
    """What the names of a file and of its rotated copies have in common."""
    name = os.path.basename(path)
    while (shorter := _ADDED.sub("", name)) != name and shorter:
        name = shorter
    return name


def families(entry: Entry) -> set[str]:
    """The families of a generation: by the name it had first and by the one seen last.

    They differ when the number of its file (inode) was given to a new one, whose name was then
    taken for the old one's until the content was looked at.
    """
    return {family(entry.origin), family(entry.path)}


def recognise(
    entries: Sequence[Entry],
    *,
    device: int,
    inode: int,
    path: str,
    content: Content,
    settled: bool,
    alive: frozenset[tuple[int, int]],
    unread: Sequence[Entry] = (),
) -> Entry | Unsure | None:
    """The entry to go on with, made for this file if it was another's; None: a new content.

    `settled` says that the file has not changed for a while; `alive` which files there are;
    `unread` are those whose turn to be read comes: it may turn out a copy of one of them.
    """
    if _ROTATED.search(path) and any(
        not entry.prefix_bytes and family(path) in families(entry) and path != entry.path
        for entry in unread
    ):
        return Unsure.ORIGINAL_UNREAD
    same_file = [entry for entry in entries if (entry.device, entry.inode) == (device, inode)]
    for entry in reversed(same_file):
        if entry.is_of(content):
            return entry
    beginnings: dict[int, str] = {}
    others = [
        entry for entry in entries
        if (entry.device, entry.inode) != (device, inode) and _may_be_copy(entry, path, alive)
    ]  # fmt: skip
    # The more of a content is known, the more it says that a file begins like it.
    for entry in sorted(others, key=lambda each: (-each.prefix_bytes, -each.offset)):
        length = entry.prefix_bytes
        if length not in beginnings:
            beginnings[length] = digest_of_content(content, length)
        is_short = not beginnings[length] and _ROTATED.search(path) is not None
        if beginnings[length] != entry.prefix and not is_short:
            continue
        if is_short:
            if not settled:
                return Unsure.NOT_LONG_ENOUGH
            continue
        is_whole = entry.is_of(content)
        if not settled and (not is_whole or (entry.device, entry.inode) in alive):
            # Still being copied, or its original is about to be cut off: then it is clear where
            # reading goes on.
            return Unsure.NOT_LONG_ENOUGH if not is_whole else Unsure.ORIGINAL_LIVES
        if is_whole:
            return entry.copied_to(path, device, inode)
        shorter = _shorter_copy(entry.copied_to(path, device, inode), content)
        if length == PREFIX_BYTES and shorter is not None:
            return shorter
    return None


def _may_be_copy(entry: Entry, path: str, alive: frozenset[tuple[int, int]]) -> bool:
    if not entry.prefix_bytes or family(path) not in families(entry):
        return False
    if path in (entry.origin, entry.path):
        # In the place of the original, and that one moved: the writer began anew, perhaps with
        # the very same line. Only a long beginning in common says that it was rewritten.
        return entry.prefix_bytes == PREFIX_BYTES and (entry.device, entry.inode) not in alive
    return (
        os.path.dirname(entry.path) == os.path.dirname(path) or entry.prefix_bytes == PREFIX_BYTES
    )


def _shorter_copy(copy: Entry, content: Content) -> Entry | None:
    """All of `content` was read in the original, which went on after the copy was made.

    None: it is long enough to hold the place that was read up to, and does not: another content.
    """
    length, tail = 0, b""
    while chunk := content.read(length, _CHUNK_BYTES):
        length += len(chunk)
        tail = (tail + chunk)[-TAIL_BYTES:]
        if length >= copy.offset:
            return None
    copy.settle(Place(length), tail)
    return copy
