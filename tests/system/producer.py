"""Writes events into files as applications do, and notes what is owed for each line.

A line is owed from the moment its newline is written.  Files are appended in pieces that need not
end at a line, rotated by rename, and old ones are compressed, all while they are followed.
"""

import gzip
import json
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from .records import Poison, Record, forged, poison, record


@dataclass(slots=True)
class Obligations:
    """What was written, and so what must be found."""

    kept: dict[str, Record] = field(default_factory=dict)
    """By claim: each is found once in every store, with its own bytes."""
    refused: list[Poison] = field(default_factory=list)
    """Each is in quarantine, with its own bytes."""
    copies: int = 0
    """Lines written again; the first of each stays."""

    @property
    def lines(self) -> int:
        return len(self.kept) + len(self.refused) + self.copies


class Producer:
    """Appends lines to `files` files of `directory`; not for use by two threads at once."""

    def __init__(self, directory: Path, seed: int, *, files: int = 3, age_hours: int = 2) -> None:
        self.directory = directory
        self.owed = Obligations()
        self.seed = seed
        # Hours that have ended: their archive parts are cut as soon as they have settled.
        self.newest_seconds = int(time.time()) - age_hours * 3600
        self._draw = random.Random(seed)
        self._files = files
        self.first_number = 0
        """Set it before the first write to make other records than another producer."""
        self._made = 0
        self._rotations = 0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def pattern(self) -> str:
        """What an agent has to follow; rotated files match it too."""
        return str(self.directory / "app-*")

    def write(self, count: int, *, plain: bool = False) -> None:
        """Append `count` lines; unless `plain`, a few are copies, forgeries or poison."""
        while count > 0:
            size = min(count, self._draw.randrange(1, 40))
            count -= size
            self._append([line for _ in range(size) for line in self._lines(plain)])

    def write_one(self) -> str:
        """Append one ordinary record; its claim is returned."""
        fresh = self._fresh(with_id=True)
        self._append([fresh.line])
        return fresh.claim

    def rotate(self) -> Path:
        """Rename one file away; the next write makes it anew.  The old name is returned."""
        self._rotations += 1
        path = self._path(self._rotations % self._files)
        rotated = path.with_name(f"{path.name}.{self._rotations}")
        if path.exists():
            path.rename(rotated)
        return rotated

    def compress(self, rotated: Path) -> None:
        """Replace a rotated file by its gzip, as logrotate does one round later."""
        if rotated.exists():
            packed = rotated.with_name(rotated.name + ".gz")
            working = rotated.with_name("working-" + packed.name)
            working.write_bytes(gzip.compress(rotated.read_bytes(), mtime=0))
            working.rename(packed)
            rotated.unlink()

    def records_file(self, path: Path, count: int, *, pretty: bool = False) -> None:
        """A finished `{"Records":[…]}` file to import, gzipped when its name says so."""
        records = [self._fresh(with_id=True) for _ in range(count)]
        separator = b",\n  " if pretty else b","
        content = b'{"Records":[' + separator.join(each.line for each in records) + b"]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        self.owed.kept.update({each.claim: each for each in records})

    def _lines(self, plain: bool) -> list[bytes]:
        kind = 1.0 if plain else self._draw.random()
        if kind < 0.04 and self.owed.kept:
            original = self._draw.choice(list(self.owed.kept.values()))
            # A record without an eventID is told apart by its place: written twice, it is two.
            if original.event_id is not None:
                self.owed.copies += 1
                return [original.line]
        if kind < 0.06:
            return [self._refused(poison(len(self.owed.refused), self.seed, self.newest_seconds))]
        fresh = self._fresh()
        if kind < 0.07 and fresh.event_id is not None:
            # The true one is first in the same file, so it is the one that stays.
            return [fresh.line, self._refused(forged(fresh, len(self.owed.refused)))]
        return [fresh.line]

    def _fresh(self, *, with_id: bool = False) -> Record:
        fresh = record(self.first_number + self._made, self.seed, self.newest_seconds)
        self._made += 1
        if fresh.event_id is None and with_id:
            return self._fresh(with_id=True)
        self.owed.kept[fresh.claim] = fresh
        return fresh

    def _refused(self, line: Poison) -> bytes:
        self.owed.refused.append(line)
        return line.line

    def _append(self, lines: list[bytes]) -> None:
        content = b"\n".join(lines) + b"\n"
        cut = self._draw.randrange(len(content))
        with open(self._path(self._draw.randrange(self._files)), "ab", buffering=0) as file:
            file.write(content[:cut])
            file.write(content[cut:])

    def _path(self, number: int) -> Path:
        return self.directory / f"app-{number}.json"


class Load:
    """A `Producer` in a thread of its own, at `rate` lines a second, until the block ends."""

    def __init__(self, producer: Producer, rate: int, *, rotate_every_seconds: float = 3.0) -> None:
        self._producer, self._rate = producer, rate
        self._rotate_every = rotate_every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._write_and_rotate()
        except BaseException as failure:
            self._failure = failure

    def _write_and_rotate(self) -> None:
        started = rotated_at = time.monotonic()
        written = 0
        rotated: list[Path] = []
        while not self._stop.wait(0.05):
            now = time.monotonic()
            due = int((now - started) * self._rate) - written
            self._producer.write(due)
            written += due
            if now - rotated_at > self._rotate_every:
                rotated_at = now
                rotated.append(self._producer.rotate())
                if len(rotated) > 2:
                    self._producer.compress(rotated.pop(0))


def claim_of(line: bytes) -> str | None:
    """The claim a record carries, read the way a stranger would."""
    try:
        parameters = json.loads(line).get("requestParameters")
    except ValueError:
        return None
    return parameters.get("claim") if isinstance(parameters, dict) else None
