"""Which files are followed: found, known again, moved, truncated, gone.

`scan` looks at every watched path and brings the set of followers in line with it:

    a file nobody follows    is recognised (positions) or begins a new generation
    a file that changed      is ready to be read
    a follower without path  is read on through its open file for a while, then ends
    a content replaced       ends its generation (what was cut off unread is counted, unless a
                             copy of it is found beside) and begins the next

Nothing is read here but what it takes to know a file again.
"""

import logging
import os
import resource
from pathlib import Path

from opentrail.clock import Clock
from opentrail.files import DISK, Files

from ..metrics import Metrics
from .access import Access
from .content import content_of
from .failing import Failing
from .follower import Follower
from .paths import Paths, is_behind
from .positions import Entry, Positions, new_generation
from .ready import Harvest, Ready
from .recognise import Unsure, families, family, recognise
from .settings import CaptureSettings, WatchSettings
from .sniff import Skipped

Key = tuple[int, int]

HOT_SECONDS = 10.0
"""How long after its last growth a file is looked at more often."""
SETTLED_SECONDS = 2.0
"""A file that has not changed for so long is taken as whole when compared with known contents."""
_CLOSED_AT_ONCE = 64  # when the process may open no more

_log = logging.getLogger(__name__)


class Census:
    """The followers, by device and inode."""

    def __init__(
        self,
        settings: CaptureSettings,
        directory: Path,
        clock: Clock,
        metrics: Metrics,
        harvest: Harvest,
        files: Files = DISK,
    ) -> None:
        self.followers: dict[Key, Follower] = {}
        self.ready = Ready()
        self.positions = Positions(directory, settings.remembered_max, files)
        self.is_unsettled = False
        """Some file could not be read, or it is not yet known what it is."""
        self.has_news = False
        """Set when a follower came, went or grew; whoever has told of it takes it back."""
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._harvest = harvest
        self._access = Access(metrics, clock, self._make_room)
        self._paths = Paths(self._access.problems)
        self._unsure: dict[Key, tuple[int, int, float]] = {}
        self._skipped = Skipped(metrics)
        self._failing = Failing(metrics)
        self._hot: set[Follower] = set()
        self._searched = False

    def open(self) -> None:
        """Read what was known at the last stop."""
        wrong = self.positions.load()
        if wrong:
            self._metrics.problem("capture.positions.broken", wrong)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(hard, self._settings.open_files_max + 256)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    def close(self) -> None:
        for follower in self.followers.values():
            follower.close()

    def scan(self) -> None:
        """Look at every watched path and at every follower."""
        now = self._clock.monotonic()
        self._access.problems.clear()
        self.is_unsettled = False
        seen: dict[Key, str] = {}
        new: list[tuple[str, os.stat_result, WatchSettings]] = []
        for watch in self._settings.watch:
            for path, found in self._paths.expand(watch.path):
                key = (found.st_dev, found.st_ino)
                if key in seen:
                    continue
                seen[key] = path
                follower = self.followers.get(key)
                if follower is not None:
                    self._see(follower, path, found, now)
                elif found.st_size and not self._skipped.is_known(key, found):
                    # An empty file may yet become a copy of what is known.
                    new.append((path, found, watch))
        for key in [key for key in self.followers if key not in seen]:
            self._miss(key, self.followers[key], now)
        # First those that stayed, so that a copy is told from an original that moved.
        held = {key for key, each in self.followers.items() if not each.is_deleted}
        alive = frozenset(held | seen.keys())
        for path, found, watch in new:
            self._adopt(path, found, watch, now, alive)
        if not self._searched and not self.is_unsettled:
            self._search_moved(now)
        self._unsure = {key: each for key, each in self._unsure.items() if key in seen}
        self._skipped.keep(seen)
        self._keep_few_open()
        self._access.tell()
        if self._holds_back():
            self.is_unsettled = True
        self._metrics.set("opentrail_agent_sources", len(self.followers))

    @property
    def is_hot(self) -> bool:
        """Whether `poll` has anything to look at."""
        return bool(self._hot)

    def poll(self) -> None:
        """Look at the open files that grew lately."""
        now = self._clock.monotonic()
        for follower in list(self._hot):
            if not follower.is_open or now - follower.grown_at >= HOT_SECONDS:
                self._hot.discard(follower)
            elif follower.look(follower.file_stat(), now):
                self._wake(follower)

    def fail(self, follower: Follower, error: OSError) -> None:
        """`follower` could not be read; it is tried again at the next scan."""
        self.ready.drop(follower)
        self._failing.tell(follower, error)
        self.is_unsettled = self.is_unsettled or self._holds_back()

    def replaced(self, follower: Follower) -> None:
        """The content of a follower's file was cut off or replaced: its generation ends."""
        now = self._clock.monotonic()
        entry = follower.entry
        self.ready.drop(follower)
        fd = follower.release()
        unread = follower.unread_bytes
        copy = self._find_copy(follower, now)
        if copy is None:
            self._harvest.finish(follower, "")
        else:
            unread = 0 if copy.is_gzip else min(unread, max(0, follower.largest - copy.size))
        self._end(follower)
        self._metrics.increment("opentrail_agent_truncations_total")
        if unread:
            self._count_lost(entry, unread)
        _log.info("%s: truncated or replaced; a new generation begins", follower.path)
        key = (entry.device, entry.inode)
        self._follow(self._new_entry(key, follower.path), follower.watch, fd, now)

    # Files that are seen.

    def _see(self, follower: Follower, path: str, found: os.stat_result, now: float) -> None:
        if path != follower.path:
            follower.path = follower.entry.path = path
            self.positions.is_dirty = True
        follower.unseen_since = None
        if follower.look(found, now) or follower in self._failing:
            self._wake(follower)

    def _wake(self, follower: Follower) -> None:
        """Something is new in the file: have it read."""
        self.has_news = True
        if not follower.is_open:
            fd = self._access.open(follower.path)
            if fd is None:
                self._failing.note(follower)
                return
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) != (follower.entry.device, follower.entry.inode):
                os.close(fd)  # Moved since the scan; the next one sees it.
                self._failing.note(follower)
                return
            follower.is_done = False
            if not follower.open(fd):
                self.replaced(follower)
                return
        self._failing.is_over(follower)
        follower.is_done = follower.has_ended = False
        self._hot.add(follower)
        self.ready.add(follower)

    def _adopt(
        self, path: str, found: os.stat_result, watch: WatchSettings, now: float,
        alive: frozenset[Key],
    ) -> None:  # fmt: skip
        """Follow a file that nobody follows yet."""
        key = (found.st_dev, found.st_ino)
        if self._adopt_unchanged(key, path, found, watch, now):
            return
        fd = self._access.open(path)
        if fd is None:
            return
        opened = os.fstat(fd)
        if (opened.st_dev, opened.st_ino) != key:
            os.close(fd)
            self.is_unsettled = True
            return
        size, modified_ns, since = self._unsure.get(key, (-1, 0, now))
        if (size, modified_ns) != (opened.st_size, opened.st_mtime_ns):
            since = now
        entry = recognise(
            self.positions.joined(each.entry for each in self.followers.values()),
            device=key[0], inode=key[1], path=path, content=content_of(fd), alive=alive,
            settled=now - since >= SETTLED_SECONDS, unread=[each.entry for each in self.ready],
        )  # fmt: skip
        if isinstance(entry, Unsure) or self._harvest.waits_for(entry, now - since):
            os.close(fd)
            self._unsure[key] = (opened.st_size, opened.st_mtime_ns, since)
            self.is_unsettled = True
            return
        self._unsure.pop(key, None)
        if entry is None:
            if self._skipped.adds(key, path, watch.path, fd):
                os.close(fd)
                return
            entry = self._new_entry(key, path)
        else:
            entry.path = path
            self.positions.put(entry)
        self._follow(entry, watch, fd, now)

    def _adopt_unchanged(
        self, key: Key, path: str, found: os.stat_result, watch: WatchSettings, now: float
    ) -> bool:
        """Follow a file that was read to its end and has not changed since, without opening it."""
        for entry in self.positions:
            if (
                (entry.device, entry.inode) == key
                and entry.modified_ns == found.st_mtime_ns
                and entry.file_size == found.st_size
            ):
                follower = Follower(entry, watch, -1, now - HOT_SECONDS)
                follower.look(found, now - HOT_SECONDS)
                follower.is_done = follower.has_ended = entry.ended
                self.followers[key] = follower
                self.has_news = True
                return True
        return False

    def _follow(self, entry: Entry, watch: WatchSettings, fd: int, now: float) -> Follower:
        return self._begin(Follower(entry, watch, fd, now), now)

    def _begin(self, follower: Follower, now: float) -> Follower:
        entry = follower.entry
        self.followers[(entry.device, entry.inode)] = follower
        self.has_news = True
        follower.look(follower.file_stat(), now)
        if follower.size:
            self._hot.add(follower)
            self.ready.add(follower)
        return follower

    def _new_entry(self, key: Key, path: str) -> Entry:
        # It joins the positions once it has a beginning to be known by.
        return Entry(
            generation=new_generation(), path=path, origin=path, device=key[0], inode=key[1]
        )

    # Files that are not seen.

    def _miss(self, key: Key, follower: Follower, now: float) -> None:
        """No watched path leads to `follower` any more: read on, end it after a quiet time."""
        if follower.unseen_since is None:
            follower.unseen_since = now
        if not follower.is_open:
            moved = self._paths.find(follower.entry)
            if moved is None:
                self._let_go(key, follower)
                return
            follower.path = moved
            self._wake(follower)
            return
        if follower.look(follower.file_stat(), now) or follower in self._failing:
            self._wake(follower)
        keeps = self._settings.deleted_keep, self._settings.rotated_keep
        quiet = now - max(follower.unseen_since, follower.grown_at)
        if quiet >= keeps[not follower.is_deleted] and self._harvest.has_room(follower):
            self._let_go(key, follower)

    def _let_go(self, key: Key, follower: Follower) -> None:
        if follower.is_open and not follower.is_done:
            self._harvest.finish(follower, "the file went away" if follower.is_gzip else "")
        unread = follower.unread_bytes
        if unread and not follower.is_done:
            self._count_lost(follower.entry, unread)
        self._end(follower)
        self.ready.drop(follower)
        follower.close()
        del self.followers[key]
        self.has_news = True

    def _end(self, follower: Follower) -> None:
        """Ended in the positions once all that was read of it is in the spool."""
        follower.has_ended = True
        self._failing.is_over(follower)
        self._harvest.touch(follower)

    def _search_moved(self, now: float) -> None:
        """After a start: what was followed at the last stop and is in no watched path now."""
        self._searched = True
        followed = {follower.entry.generation for follower in self.followers.values()}
        for entry in self.positions:
            watch = self._watch_of(entry.origin)
            key = (entry.device, entry.inode)
            if entry.ended or entry.generation in followed or watch is None:
                continue
            path = self._paths.find(entry) if key not in self.followers else None
            fd = self._access.open(path) if path else None
            if path and fd is not None and entry.is_of(content_of(fd)):
                entry.path = path
                self._follow(entry, watch, fd, now).unseen_since = now
                continue
            if fd is not None:
                os.close(fd)
            entry.ended = self.positions.is_dirty = True
            lost = Follower(entry, watch, -1, now)
            lost.largest = entry.size
            if self._find_copy(lost, now) is None and lost.unread_bytes:
                self._count_lost(entry, lost.unread_bytes)

    def _watch_of(self, path: str) -> WatchSettings | None:
        return next((each for each in self._settings.watch if is_behind(each.path, path)), None)

    def _find_copy(self, follower: Follower, now: float) -> Follower | None:
        """A rotated copy, beside the file, of what `follower` read; it is followed from now on."""
        entry = follower.entry
        if not entry.prefix_bytes:
            return None
        for path in self._paths.siblings(entry.path):
            if family(path) not in families(entry) or path == entry.path:
                continue
            fd = self._access.open(path)
            if fd is None:
                continue
            found = os.fstat(fd)
            key = (found.st_dev, found.st_ino)
            known = self.followers.get(key)
            if known is not None:
                os.close(fd)
                if known is not follower and known.entry.generation == entry.generation:
                    return known
                continue
            copy, read = entry.copied_to(path, *key), entry.copied_to(path, *key)
            if follower.place != entry.place:
                read.settle(follower.place, follower.tail)
            if not read.is_of(content_of(fd)):
                os.close(fd)
                continue
            # What was read and is not in the spool yet counts as unread after a crash only.
            self.positions.put(copy)
            begun = Follower(copy, follower.watch, fd, now, follower.place, follower.tail)
            begun.unseen_since = now
            self._harvest.touch(begun)
            return self._begin(begun, now)
        return None

    # What goes wrong.

    def _holds_back(self) -> bool:
        """Whether something that cannot be read keeps the report of all others waiting."""
        return self._access.holds_back(self._failing.paths())

    def _count_lost(self, entry: Entry, count: int) -> None:
        self._metrics.increment("opentrail_agent_lost_bytes_total", count)
        _log.error(
            "%s: at least %d bytes were taken away before they were read, after offset %d of "
            "generation %s; rotate by rename, or leave the copy in the same folder",
            entry.path, count, entry.offset, entry.generation,
        )  # fmt: skip

    def _keep_few_open(self) -> None:
        excess = sum(each.is_open for each in self.followers.values())
        excess -= self._settings.open_files_max
        if excess > 0:
            self.ready.close_idlest(self.followers.values(), excess)

    def _make_room(self) -> None:
        self.ready.close_idlest(self.followers.values(), _CLOSED_AT_ONCE)
