"""A commit of the engine that runs while the next events are made ready.

The engine works without Python's lock, but a call of its `commit` returns only at the end, after a
second or more for many events. In a thread of its own that call takes nothing from the thread that
reads the log. The engine's writer belongs to the commit until `finish` has returned.
"""

import threading

import tantivy


class RunningCommit:
    """One commit, from its beginning until somebody asks how it went."""

    def __init__(self, writer: tantivy.IndexWriter, events: int, first_position: int) -> None:
        self.events = events
        """How many events become searchable by it."""
        self.first_position = first_position
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(writer,), name="index-commit")
        self._thread.start()

    def _run(self, writer: tantivy.IndexWriter) -> None:
        try:
            writer.commit()
        except BaseException as error:  # A panic is no Exception; whoever finishes it is told.
            self._error = error

    @property
    def is_done(self) -> bool:
        """`finish` would not wait."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Until it has ended, however."""
        self._thread.join()

    def finish(self) -> None:
        """Wait for the end; raises what the engine raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
