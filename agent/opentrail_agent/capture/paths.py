"""Which files there are: globs expanded again and again without reading folders again and again.

A folder's listing is kept until the folder's modification time says that a name came or went. The
time has the granularity of the kernel's clock tick, so a listing counts as settled only after it
was made twice under the same time. Every file that matched is looked at by `stat` each time, which
also sees through symbolic links: 1,000 files cost about two milliseconds.
"""

import contextlib
import fnmatch
import functools
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from .positions import Entry

_MAGIC = re.compile(r"[*?\[]")
# Listings are made anew this often however unchanged a folder looks (network file systems).
_DISTRUST_SCANS = 20


@dataclass(slots=True)
class _Folder:
    modified_ns: int
    inode: int
    age: int = 0
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    """Folders that are symbolic links: `**` does not go through them, they may lead in circles."""
    matches: dict[str, list[str]] = field(default_factory=dict)


class Paths:
    """The files behind a set of globs."""

    def __init__(self, problems: dict[str, str]) -> None:
        """`problems` is told which paths cannot be looked at, and why."""
        self._folders: dict[str, _Folder] = {}
        self._problems = problems

    def expand(self, pattern: str) -> Iterator[tuple[str, os.stat_result]]:
        """Every regular file behind `pattern`; of a folder the files in it."""
        for path in self._candidates(pattern):
            try:
                found = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._problems[path] = f"{path}: {error.strerror}"
                continue
            if stat.S_ISREG(found.st_mode):
                yield path, found
            elif stat.S_ISDIR(found.st_mode) and path == pattern:
                yield from self.expand(os.path.join(pattern, "*"))

    def siblings(self, path: str) -> list[str]:
        """The files in the folder of `path`."""
        folder = os.path.dirname(path)
        listing = self._list(folder)
        return [os.path.join(folder, name) for name in listing.files] if listing else []

    def find(self, entry: Entry) -> str | None:
        """Where in its folder the file of `entry` is now."""
        for path in self.siblings(entry.path):
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if (found.st_dev, found.st_ino) == (entry.device, entry.inode):
                    return path
        return None

    def _candidates(self, pattern: str) -> Iterator[str]:
        if not _MAGIC.search(pattern):
            yield pattern
            return
        parts = pattern.strip("/").split("/")
        plain = 0
        while not _MAGIC.search(parts[plain]):
            plain += 1
        yield from self._walk("/" + "/".join(parts[:plain]), parts[plain:])

    def _walk(self, folder: str, parts: list[str]) -> Iterator[str]:
        part, rest = parts[0], parts[1:]
        if not _MAGIC.search(part):
            path = os.path.join(folder, part)
            if rest:
                yield from self._walk(path, rest)
            else:
                yield path
            return
        listing = self._list(folder)
        if listing is None:
            return
        if part == "**":
            yield from self._walk(folder, rest or ["*"])
            for name in listing.folders:
                if name not in listing.links:
                    yield from self._walk(os.path.join(folder, name), parts)
        elif not rest:
            yield from self._matches(folder, listing, part)
        else:
            for name in fnmatch.filter(listing.folders, part):
                if part.startswith(".") or not name.startswith("."):
                    yield from self._walk(os.path.join(folder, name), rest)

    def _matches(self, folder: str, listing: _Folder, part: str) -> list[str]:
        if part not in listing.matches:
            listing.matches[part] = [
                os.path.join(folder, name)
                for name in fnmatch.filter(listing.files, part)
                if part.startswith(".") or not name.startswith(".")
            ]
        return listing.matches[part]

    def _list(self, folder: str) -> _Folder | None:
        try:
            found = os.stat(folder)
            known = self._folders.get(folder)
            if (
                known is not None
                and known.modified_ns == found.st_mtime_ns
                and known.inode == found.st_ino
                and 2 <= known.age < _DISTRUST_SCANS
            ):
                known.age += 1
                return known
            is_same = known is not None and known.modified_ns == found.st_mtime_ns
            listing = _Folder(found.st_mtime_ns, found.st_ino)
            # Files that are links to folders are told apart by the caller's stat.
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not _is_folder(entry):
                        listing.files.append(entry.name)
                        continue
                    listing.folders.append(entry.name)
                    if entry.is_symlink():
                        listing.links.add(entry.name)
            listing.age = min(known.age, 1) + 1 if known is not None and is_same else 0
        except (FileNotFoundError, NotADirectoryError):
            self._folders.pop(folder, None)
            return None
        except OSError as error:
            self._problems[folder] = f"{folder}: {error.strerror}"
            return None
        self._folders[folder] = listing
        return listing


@functools.lru_cache(maxsize=1000)
def _regex_of(pattern: str) -> re.Pattern[str]:
    text = "".join(
        {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, part)
        if part in ("**/", "**", "*", "?") or part.startswith("[") else re.escape(part)
        for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    )  # fmt: skip
    return re.compile(text.replace("[!", "[^"))


def is_behind(pattern: str, path: str) -> bool:
    """Whether `path` is one of the files that `pattern` can lead to."""
    in_folder = not _MAGIC.search(pattern) and os.path.dirname(path) == pattern.rstrip("/")
    return in_folder or _regex_of(pattern).fullmatch(path) is not None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # The caller's stat says what is wrong with it.
