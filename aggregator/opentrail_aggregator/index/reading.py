"""Days of the index opened for reading, beside a living writer.

A day is opened when a question first needs it and kept open, the least recently asked is let go.
Before each use one `stat` tells whether its writer has committed since. A day that is dropped while
a question reads it answers to the end: the engine maps its files, the records file is open. A new
generation is noticed at the next question.
"""

import os
import threading
from collections import OrderedDict
from pathlib import Path

import tantivy

from opentrail.errors import NewerFormatError, OpenTrailError
from opentrail_aggregator.index.compile import between, number_of_hits
from opentrail_aggregator.index.generation import TERMS, Generation, Generations, State
from opentrail_aggregator.index.records import RecordsReader
from opentrail_aggregator.index.schema import SCHEMA_VERSION, is_panic, open_for_reading
from opentrail_aggregator.search.errors import SearchUnavailableError

_RECOUNT_SLICE = 2_000
_META = "meta.json"  # The engine replaces it with every commit.


class OpenDay:
    """One event day, open."""

    def __init__(self, directory: Path) -> None:
        self.name = directory.name
        self._meta = str(directory / TERMS / _META)
        self._seen = self._stat()
        self._index = open_for_reading(directory / TERMS)
        self.records = RecordsReader(directory)
        self._lock = threading.Lock()
        self._restored: int | None = None

    def _stat(self) -> tuple[int, int, int]:
        stat = os.stat(self._meta)
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def searcher(self) -> tantivy.Searcher:
        """The day as its last commit left it."""
        with self._lock:
            try:
                seen = self._stat()
            except FileNotFoundError:
                return self._index.searcher()  # Dropped while it was open: the last view stays.
            if seen != self._seen:
                self._index.reload()
                self._seen = seen
            return self._index.searcher()

    def restored_documents(self, searcher: tantivy.Searcher, *, is_thorough: bool) -> int:
        """Documents that came through an earlier log: a rebuild put them in before it was read."""
        if self._restored is None or is_thorough:
            self._restored = number_of_hits(searcher, between("p", 0, 0))
        return self._restored

    def unreadable_records(self) -> int:
        """How many documents point at a record that cannot be read; reads all of them."""
        searcher = self.searcher()
        number = searcher.num_docs
        if not number:
            return 0
        found = searcher.search(
            tantivy.Query.all_query(), number, count=False, order_by_field="l"
        ).hits
        unreadable = 0
        for at in range(0, number, _RECOUNT_SLICE):
            locations = [int(location) for location, _ in found[at : at + _RECOUNT_SLICE]]
            try:
                self.records.read(locations)
            except (OpenTrailError, OSError, ValueError):
                unreadable += sum(not self._is_readable(each) for each in locations)
        return unreadable

    def _is_readable(self, location: int) -> bool:
        try:
            return len(self.records.read([location])) == 1
        except (OpenTrailError, OSError, ValueError):
            return False


class View:
    """The days that answer one question, newest first."""

    def __init__(self, generation: Generation, state: State, days: list[str]) -> None:
        self.generation = generation
        self.state = state
        self.days = days


class OpenDays:
    """The days kept open for questions, from any thread."""

    def __init__(self, generations: Generations, open_max: int) -> None:
        self._generations = generations
        self._open_max = open_max
        self._open: OrderedDict[str, OpenDay] = OrderedDict()
        self._of = ""
        self._lock = threading.Lock()
        self._view: tuple[object, View] | None = None

    def recent_view(self) -> View:
        """What there is now, looked up only if the names or the state of the days changed.

        A change is told by the times of three files; two within one tick of the kernel's clock may
        look like one until the next. So this is for questions, not for figures.
        """
        before = self._generations.stamp()
        with self._lock:
            if self._view is not None and before is not None and self._view[0] == before:
                return self._view[1]
        view = self.view()
        with self._lock:
            self._view = before, view
        return view

    def view(self) -> View:
        """What there is now."""
        generation = self._generations.current()
        if generation is None:
            raise SearchUnavailableError(
                f"{self._generations.directory}: there is no index yet; it begins with the log"
            )
        try:
            state = generation.read()
        except NewerFormatError as error:
            raise SearchUnavailableError(str(error)) from error
        if state.version != SCHEMA_VERSION:
            raise SearchUnavailableError(
                f"{generation.directory}: this index is of format {state.version}, this program "
                f"reads {SCHEMA_VERSION}; the index role makes it anew when it runs, or run "
                "opentrail index rebuild --from archive"
            )
        days = [name for name in generation.days() if name not in state.dropping]
        with self._lock:
            if generation.name != self._of:
                self._open.clear()
                self._of = generation.name
        return View(generation, state, days[::-1])

    def day(self, view: View, name: str) -> OpenDay | None:
        """A day of `view`; None if it has nothing in it yet, or is gone."""
        with self._lock:
            if view.generation.name == self._of and (day := self._open.get(name)):
                self._open.move_to_end(name)
                return day
        day = _opened(view.generation.day(name))
        if day is None:
            return None
        with self._lock:
            if view.generation.name == self._of:
                day = self._open.setdefault(name, day)
                while len(self._open) > self._open_max:
                    self._open.popitem(last=False)
        return day

    def close(self) -> None:
        with self._lock:
            self._open.clear()


def _opened(directory: Path) -> OpenDay | None:
    if not (directory / TERMS / _META).exists():
        return None  # Just being made, or dropped since it was listed.
    try:
        return OpenDay(directory)
    except FileNotFoundError:
        return None
    except (ValueError, OSError, OpenTrailError) as error:
        if not directory.exists():
            return None
        raise SearchUnavailableError(
            f"{directory}: this day of the index cannot be read ({error}); run index rebuild"
        ) from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise SearchUnavailableError(
            f"{directory}: this day of the index cannot be read ({error}); run index rebuild"
        ) from error
