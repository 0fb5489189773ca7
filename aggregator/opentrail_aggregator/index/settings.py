"""How the embedded index is written, and how long it keeps events."""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from opentrail.errors import ConfigError
from opentrail.limits import MIB, RETENTION_DAYS

# The engine's own minimum per writing thread.
_MEMORY_MIN_BYTES = 15 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """Section `index`."""

    engine: Annotated[
        Literal["embedded", "opensearch", "both"],
        "Where events are indexed: in this folder, in OpenSearch (see opensearch.url), or in both "
        "while moving from one to the other.",
    ] = "embedded"
    memory_bytes: Annotated[
        int, "Memory in which the busiest event day gathers terms before it writes them."
    ] = 64 * MIB
    late_memory_bytes: Annotated[
        int, "The same for each other event day that is being written."
    ] = 15 * MIB
    commit_seconds: Annotated[
        float, "At this interval new events become searchable while there is time."
    ] = 0.5
    commit_max_seconds: Annotated[
        float, "At most this interval under load; fewer commits leave more time for events."
    ] = 8.0
    open_days: Annotated[
        int, "Event days written at once; events of other days are gathered on disk first."
    ] = 3
    gather_events: Annotated[
        int, "Events gathered for a day that is not open before it is opened for them."
    ] = 5_000
    gather_seconds: Annotated[
        float, "How long events are gathered at most, while there is time for so many days."
    ] = 3.0

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "late_memory_bytes"):
            if getattr(self, name) < _MEMORY_MIN_BYTES:
                raise ConfigError(
                    f"index.{name}: {getattr(self, name)} is less than {_MEMORY_MIN_BYTES}, below "
                    "which the index engine does not start"
                )
        if self.commit_seconds <= 0 or self.commit_max_seconds < self.commit_seconds:
            raise ConfigError(
                f"index.commit_seconds: {self.commit_seconds} must be above 0 and not above "
                f"index.commit_max_seconds, {self.commit_max_seconds}"
            )
        if self.open_days < 1 or self.gather_events < 1:
            raise ConfigError("index.open_days and index.gather_events must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """Section `retention`."""

    days: Annotated[
        int,
        "An event is searchable for this many days after its eventTime; then its day is dropped "
        "from the index. The archive is not touched.",
    ] = RETENTION_DAYS

    def __post_init__(self) -> None:
        if not 1 <= self.days <= 36_500:
            raise ConfigError(f"retention.days: {self.days} is not between 1 and 36500")


class IndexSections(Protocol):
    """The sections of the configuration that the index reads."""

    @property
    def index(self) -> IndexSettings: ...

    @property
    def retention(self) -> RetentionSettings: ...
