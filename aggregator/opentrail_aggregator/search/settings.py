"""How much one question may ask."""

from dataclasses import dataclass
from typing import Annotated, Literal

from opentrail.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """Section `search`."""

    engine: Annotated[
        Literal["auto", "embedded", "opensearch"],
        "Which index answers: `auto` is the one there is, the embedded one if there are both.",
    ] = "auto"
    deadline_seconds: Annotated[
        float, "A query that takes longer is ended with an error that says so."
    ] = 30.0
    page_max_events: Annotated[
        int, "Most events of one page; more are asked for page by page with the cursor."
    ] = 10_000
    total_limit: Annotated[
        int, 'Totals are counted exactly up to here and shown as "more than" beyond.'
    ] = 10_000
    buckets_max: Annotated[
        int, "Most values that a count by field returns; the rest is told as one number."
    ] = 10_000
    open_days_max: Annotated[
        int, "Event days of the index kept open for reading; the least recently used is closed."
    ] = 100

    def __post_init__(self) -> None:
        if self.deadline_seconds <= 0:
            raise ConfigError(
                f"search.deadline_seconds: {self.deadline_seconds} is not above 0; 30s is usual"
            )
        for name in ("page_max_events", "total_limit", "buckets_max", "open_days_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"search.{name}: {getattr(self, name)} is not above 0")
