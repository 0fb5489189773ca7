"""Telling the log how far the archive is, so that it can let go of what nobody needs."""

from collections.abc import Collection

from opentrail_aggregator.archive.unselected import Unselected
from opentrail_aggregator.wal.cursors import Cursors

CURSOR = "archive"


class Publishing:
    """The archive's cursor. `indexes` are the cursors of those that need every event."""

    def __init__(self, cursors: Cursors, indexes: Collection[str]) -> None:
        self._cursors = cursors
        self._indexes = indexes
        self.archived_through = -1
        """As last told."""

    def publish(self, position: int, archived_through: int, unselected: Unselected) -> None:
        """Everything through `position` is read, through `archived_through` delivered."""
        if self._indexes:
            unselected.forget(min(self._cursors.read(name)[0] for name in self._indexes))
        self.archived_through = archived_through
        recoverable = unselected.recoverable_through(archived_through)
        state = {"archived_through": archived_through, "recoverable_through": recoverable}
        self._cursors.commit(CURSOR, position, state)
