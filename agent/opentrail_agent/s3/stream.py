"""What is known of one stream of a bucket: which of its newest keys were taken.

STATE/s3/SOURCE/STREAM.json, where both names are digests:

    {"format": 1, "stream": "AWSLogs/…/eu-west-1/", "floor": "2026/11/22/", "seen": [KEY…]}

Everything before the floor is done with. The floor is the day of the newest key less the look-back,
so a key that sorts earlier but arrives later is found for as long as that; it never passes a key
that could not be read. It is written after the spool: a crash reads some objects again, as copies.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer

from .layout import day_of

_FORMAT = 1


class Stream:
    """Everything up to REGION/ has one."""

    def __init__(
        self, directory: Path, name: str, look_back_seconds: float, first_day: str,
        files: Files = DISK,
    ) -> None:  # fmt: skip
        self.name = name
        """The beginning of its keys, with the slash."""
        self.floor = first_day
        self.failed: set[str] = set()
        """Keys that could not be read, relative: tried again at every listing."""
        self._seen: set[str] = set()
        self._newest = ""
        self._look_back = timedelta(seconds=look_back_seconds)
        self._files = files
        self._path = directory / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json"
        self._is_dirty = False
        self.note = self._load() if files.exists(self._path) else ""
        """What is wrong with what was remembered, empty if nothing."""

    @property
    def start_after(self) -> str:
        """Where a listing has to begin, empty for the first key."""
        return self.name + self.floor if self.floor else ""

    def fresh(self, keys: Iterator[tuple[str, int]]) -> Iterator[tuple[str, int]]:
        """Those of the listed keys that were not taken yet."""
        for key, size in keys:
            if key.removeprefix(self.name) not in self._seen:
                yield key, size

    def taken(self, key: str) -> None:
        """All of `key` is in the spool."""
        relative = key.removeprefix(self.name)
        self.failed.discard(relative)
        self._seen.add(relative)
        self._newest = max(self._newest, day_of(relative))
        self._is_dirty = True

    def save(self) -> None:
        """Raise the floor and write what changed."""
        if not self._is_dirty:
            return
        self._raise_floor()
        state = {
            "format": _FORMAT, "stream": self.name, "floor": self.floor,
            "seen": sorted(self._seen),
        }  # fmt: skip
        self._files.make_directory(self._path.parent)
        self._files.replace(self._path, json.dumps(state).encode())
        self._is_dirty = False

    def _raise_floor(self) -> None:
        if not self._newest:
            return
        day = datetime.strptime(self._newest, "%Y/%m/%d/") - self._look_back
        floor = min([day.strftime("%Y/%m/%d/"), *(day_of(each) for each in self.failed)])
        if floor > self.floor:
            self.floor = floor
            self._seen = {each for each in self._seen if each >= floor}

    def _load(self) -> str:
        content = self._files.read(self._path, 0, self._files.size(self._path))
        refuse_newer(self._path, content, _FORMAT)
        try:
            state = json.loads(content)
            self.floor, self._seen = str(state["floor"]), {str(each) for each in state["seen"]}
        except (ValueError, KeyError, TypeError) as error:
            broken = self._path.with_name(self._path.name + ".broken")
            self._files.rename(self._path, broken)
            return (
                f"{self._path}: cannot be used ({error!r}) and was set aside as {broken.name}; "
                f"{self.name} is read again, what is known already is counted as a copy"
            )
        self._newest = max((day_of(each) for each in self._seen), default="")
        return ""
