"""Events that come back from the archive: what the index asks of it, and how they are taken.

The archive gives events part by part, so not in the order of the log. For that reason they are
gathered first and each day is committed once, with all of them or none: afterwards its greatest
position tells again what it has.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import msgspec

from opentrail.record import RecordView, event_time
from opentrail_aggregator.index.document import Event


class ArchivedEvent(NamedTuple):
    """One event of the archive."""

    record: bytes
    account: str
    region: str
    """The canonical region: the folder it lies in."""
    derived_id: str
    """Empty when the record has an eventID of its own."""
    position: int
    """Frame << 16 | ordinal in the log of today; 0 if it came through an earlier log."""


class ArchiveSource(Protocol):
    """What the archive can give back."""

    def events(self, after: int = 0, through: int | None = None) -> Iterator[ArchivedEvent]:
        """Events at positions behind `after` through `through`, in any order, each once.

        With `after` 0 also those of earlier logs (position 0).
        """
        ...


_VIEWS = msgspec.json.Decoder(RecordView)


def indexable(archived: ArchivedEvent) -> Event | None:
    """The event as the index takes it; None if its time cannot be read."""
    try:
        time_s = event_time(_VIEWS.decode(archived.record))
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    if time_s is None:
        return None
    return Event(
        archived.record, archived.derived_id, time_s,
        archived.account, archived.region, archived.position,
    )  # fmt: skip
