"""What a followed source of objects is, whichever way it learns of them. Used by one thread."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .client import S3Error
from .fetching import Wanted


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that cannot be used, for the quarantine."""

    source: str
    data: bytes
    detail: str
    ticket: object


class Feed(Protocol):
    """Says which objects are wanted, and is told what became of them."""

    @property
    def name(self) -> str: ...

    def poll(self, is_stopping: Callable[[], bool]) -> Iterator[Wanted | Poison]:
        """All that is new now; raises S3Error. Its end is the end of what there was."""
        ...

    def failed(self, wanted: Wanted, error: S3Error) -> Poison | None:
        """An object could not be read; it is tried again later, or what to quarantine for it."""
        ...

    def spooled(self, tickets: Sequence[object], position: int) -> None:
        """What the tickets stand for is in the spool up to `position`."""
        ...

    def settle(self, acknowledged: int) -> None:
        """The aggregator holds everything up to this position; called every few seconds."""
        ...

    @property
    def is_drained(self) -> bool:
        """Whether the last poll, if it ended well, gave all that there was."""
        ...

    @property
    def wait_seconds(self) -> float:
        """How long to wait after a poll."""
        ...
