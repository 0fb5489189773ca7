"""One file being followed: reads it where it goes on, and notices when it is another content.

A follower owns one open file and the splitter of its content. It never decides what a generation
is; it says what it found (`Reading`) and the harvest acts on it. Bytes count as of this generation
only if, after they were read, the file's beginning and the bytes just before them are still the
ones that were there: a file that was truncated and written anew in between is noticed.
"""

import enum
import os
from collections.abc import Iterator

from opentrail.limits import BATCH_RAW_BYTES

from .batching import Draft, Origin
from .content import Content, GzipContent, content_of, digest_of_bytes, read_whole
from .mapping import Mapping
from .pieces import Piece
from .positions import PREFIX_BYTES, Entry
from .redact import redactor_of
from .settings import WatchSettings
from .sight import Sight
from .splitter import TAIL_BYTES, Place, Splitter

CHUNK_BYTES = BATCH_RAW_BYTES
QUANTUM_BYTES = 8 * CHUNK_BYTES
"""Read of one file before the next one has its turn."""
# An unfinished value beyond this is read again later rather than kept.
_HELD_MAX_BYTES = 64 * 1024


class Reading(enum.Enum):
    """What a follower found when it was asked to read."""

    MORE = "the draft is full"
    PAUSED = "there is more to read, but others have their turn"
    QUIET = "everything there is has been read"
    ENDED = "the content ends here for certain"
    REPLACED = "what is in the file is another content"


class Follower:
    """Reads one generation in one file."""

    def __init__(
        self,
        entry: Entry,
        watch: WatchSettings,
        fd: int,
        now: float,
        begin: Place | None = None,
        tail: bytes = b"",
    ) -> None:
        """Reads from `begin`, after `tail`, if given; else from where the entry says."""
        self.entry = entry
        self.watch = watch
        self.path = entry.path
        self.grown_at = now
        """When there was last something new, on the monotonic clock."""
        self.unseen_since: float | None = None
        """Since when no watched path leads here."""
        self.is_deleted = False
        self.size = 0  # of the file itself
        self.largest = 0
        """The largest size that was seen of this generation."""
        self.modified_ns = -1
        self.exhausted: tuple[int, int] = (0, 0)
        """Size and time of the file when it had been read to its end; zeros: it has not."""
        self.is_done = False
        """Everything has been read, and nothing is kept of it."""
        self.has_ended = False
        """Nothing more comes: known to the positions once all of it is in the spool."""
        self._quantum = QUANTUM_BYTES
        source = f"file:{entry.origin}"
        mapping = Mapping(watch.mapping, source) if watch.kind == "mapped" else None
        self.origin = Origin(
            source, entry.generation, "follow", watch.account, watch.region, mapping,
            redactor_of(watch.redact, watch.kind, source, watch.redact_names, watch.redact_paths),
        )  # fmt: skip
        self._sight = Sight(watch.account, watch.region, self.origin.redactor)
        self._fd = fd
        self._content: Content | None = content_of(fd) if fd >= 0 else None
        self.is_gzip = self._content is not None and self._content.is_gzip
        self._prefix = b""
        self._recent = tail  # the last bytes before _splitter.read_offset
        self._splitter = self._new_splitter(begin or entry.place)
        self._splitter.remember_tail(tail)
        self._cut: Iterator[Piece] = self._splitter.pieces()

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    @property
    def place(self) -> Place:
        return self._splitter.place

    @property
    def tail(self) -> bytes:
        return self._splitter.tail

    @property
    def unread_bytes(self) -> int:
        """How much was seen to be there and has not been read; of gzip unknown."""
        return 0 if self.is_gzip else max(0, self.largest - self._splitter.read_offset)

    def open(self, fd: int) -> bool:
        """Go on with this file, closed meanwhile; False if its content is another one."""
        self.close()
        self._fd, self._content = fd, content_of(fd)
        self.is_gzip = self._content.is_gzip
        return not self.entry.prefix_bytes or self.entry.is_of(self._content)

    def release(self) -> int:
        """Give the open file away."""
        fd, self._fd, self._content = self._fd, -1, None
        return fd

    def close(self) -> None:
        """Let go of the file; what was read but not handed out is read again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._content = -1, None
        if not self.is_done:
            self._start_anew()

    def look(self, found: os.stat_result, now: float) -> bool:
        """Whether the file changed since the last look."""
        self.is_deleted = found.st_nlink == 0
        if (found.st_size, found.st_mtime_ns) == (self.size, self.modified_ns):
            return False
        # Not the new size: it may already be that of another content.
        self.largest = max(self.largest, self.size)
        self.size, self.modified_ns = found.st_size, found.st_mtime_ns
        self.grown_at = now
        return True

    def file_stat(self) -> os.stat_result:
        return os.fstat(self._fd)

    def take(self, draft: Draft) -> Reading:
        """Move pieces to `draft` until it is full, the quantum is used up or there are no more."""
        content = self._content
        if content is None or self.is_done:
            return Reading.QUIET
        self.exhausted = (0, 0)
        while True:
            for piece in self._cut:
                draft.add(self.origin, piece)
                if draft.is_full:
                    return Reading.MORE
            if self._quantum <= 0:
                self._quantum = QUANTUM_BYTES
                return Reading.PAUSED
            offset = self._splitter.read_offset
            if offset == 0:
                content = self._content_from_start()
            # Looked at again: the file may have grown since, and been read that far.
            if not content.is_gzip and self.size < offset and self.file_stat().st_size < offset:
                return Reading.REPLACED
            chunk = content.read(offset, CHUNK_BYTES)
            if not content.is_gzip and not self._is_still(content, offset):
                return Reading.REPLACED
            self.largest = max(self.largest, self.size)
            if not chunk:
                return self._at_the_end(content)
            if self.entry.prefix_bytes < PREFIX_BYTES:
                self._grow_prefix(content, offset, chunk)
            self._recent = (self._recent + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
            self._splitter.feed(chunk)
            self._cut = self._splitter.pieces(more=len(chunk) == CHUNK_BYTES)
            self._quantum -= len(chunk)

    def finish(self, draft: Draft, why: str = "") -> None:
        """Hand out what is left (one unfinished value at most) as it is, as nothing follows.

        `why` says what is wrong with a file whose content goes on but cannot be read.
        """
        for piece in self._splitter.pieces(final=True):
            draft.add(self.origin, piece)
        content = self._content
        if isinstance(content, GzipContent) and (why or content.damage):
            rest = content.damaged_rest(self._splitter.read_offset, content.damage or why)
            draft.add(self.origin, rest)
        self.is_done = True
        self._cut = iter(())

    def rest(self) -> None:
        """Nothing to read for now: keep little in memory."""
        splitter = self._splitter
        if self.is_done:
            return
        is_cheap = not self.is_gzip and not splitter.is_in_large_value
        if splitter.held_bytes > _HELD_MAX_BYTES and is_cheap:
            self._start_anew()

    def _content_from_start(self) -> Content:
        """Plain or gzip is told by the first two bytes, which may have come only now."""
        self._content = content_of(self._fd)
        self.is_gzip = self._content.is_gzip
        return self._content

    def _at_the_end(self, content: Content) -> Reading:
        if content.is_complete() or (isinstance(content, GzipContent) and content.damage):
            self.exhausted = (self.size, self.modified_ns)
            return Reading.ENDED
        self.exhausted = (self.size, self.modified_ns)
        self.rest()
        return Reading.QUIET

    def _new_splitter(self, place: Place) -> Splitter:
        return Splitter(
            place,
            count_events=self._sight.count if self.origin.mapping is None else None,
            containers=self.watch.kind in ("auto", "cloudtrail"),
        )

    def _start_anew(self) -> None:
        tail = self._splitter.tail
        self._splitter = self._new_splitter(self._splitter.place)
        self._cut = self._splitter.pieces()
        self._splitter.remember_tail(tail)
        self._recent = tail

    def _is_still(self, content: Content, offset: int) -> bool:
        """Whether the file begins, and before `offset` ends, with what was read from it."""
        prefix = self._prefix
        if not prefix and self.entry.prefix_bytes:
            prefix = read_whole(content, 0, self.entry.prefix_bytes)
            if digest_of_bytes(prefix, self.entry.prefix_bytes) != self.entry.prefix:
                return False
            self._prefix = prefix
        elif prefix and content.read(0, len(prefix)) != prefix:
            return False
        recent = self._recent
        return not recent or content.read(offset - len(recent), len(recent)) == recent

    def _grow_prefix(self, content: Content, offset: int, chunk: bytes) -> None:
        """Let the digest of the beginning cover all there is, up to PREFIX_BYTES."""
        length = min(PREFIX_BYTES, offset + len(chunk))
        if length <= self.entry.prefix_bytes:
            return
        if offset == 0:
            prefix = chunk[:length]
        elif content.is_gzip:
            return  # Going back to the front is dear; the first chunk is long enough.
        else:
            prefix = read_whole(content, 0, length)
        if len(prefix) == length:
            self._prefix = prefix
            self.entry.prefix_bytes = length
            self.entry.prefix = digest_of_bytes(prefix, length)
