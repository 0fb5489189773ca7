"""The words that dashboards are written in: panels, what they count, and how they divide it.

A panel says what a person wants to see. How Dashboards wants to hear it is `visuals`' business.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

GRID_COLUMNS = 48


@dataclass(frozen=True, slots=True)
class Metric:
    """A number: `count`, `cardinality` (different values of a field) or `max` (the newest)."""

    kind: str
    field: str = ""
    label: str = ""


COUNT = Metric("count", label="Events")
NEWEST = Metric("max", "eventTime", "Newest")


def different(name: str, label: str) -> Metric:
    return Metric("cardinality", name, label)


@dataclass(frozen=True, slots=True)
class Terms:
    """One part for each of the most frequent values of a field."""

    field: str
    size: int = 10
    label: str = ""


@dataclass(frozen=True, slots=True)
class Filters:
    """One part for each query, by its name; also by what lies in a free-form member."""

    queries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Time:
    """One part for each stretch of time; Dashboards picks how long."""

    field: str = "eventTime"


Split = Terms | Filters | Time


@dataclass(frozen=True, slots=True)
class Panel:
    """One rectangle of a dashboard."""

    key: str
    """Its id within the dashboard, [a-z0-9-]."""
    title: str
    kind: str
    """As `visuals` knows them, or `events` for a saved search."""
    width: int = 24
    height: int = 12
    metrics: tuple[Metric, ...] = (COUNT,)
    splits: tuple[Split, ...] = ()
    query: str = ""
    """DQL; the panel shows only these events."""
    columns: tuple[str, ...] = ()
    text: str = ""
    share: bool = False
    """Bars of equal length: parts of a whole."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    key: str
    title: str
    description: str
    panels: tuple[Panel, ...] = field(default_factory=tuple)


CONTROLS = (
    ("recipientAccountId", "Account"),
    ("awsRegion", "Region"),
    ("eventSource", "Service"),
    ("userIdentity.type", "Kind of caller"),
)
"""What the first row of each dashboard narrows by."""


def controls() -> Panel:
    return Panel("controls", "Narrow by", "controls", GRID_COLUMNS, 6, ())


def number(key: str, title: str, metric: Metric = COUNT, query: str = "", width: int = 12) -> Panel:
    return Panel(key, title, "number", width, 7, (metric,), (), query)


def numbers(key: str, title: str, filters: Filters, query: str = "", width: int = 48) -> Panel:
    """One number for each query, side by side."""
    return Panel(key, title, "number", width, 8, (COUNT,), (filters,), query)


def over_time(
    key: str, title: str, split: Split, query: str = "", width: int = 48, metric: Metric = COUNT
) -> Panel:
    return Panel(key, title, "over_time", width, 12, (metric,), (Time(), split), query)


def bars(
    key: str, title: str, *splits: Split, query: str = "", width: int = 24, height: int = 14,
    share: bool = False,
) -> Panel:  # fmt: skip
    return Panel(key, title, "bars", width, height, (COUNT,), splits, query, share=share)


def pie(key: str, title: str, *splits: Split, query: str = "", width: int = 12) -> Panel:
    return Panel(key, title, "pie", width, 12, (COUNT,), splits, query)


def table(
    key: str, title: str, *splits: Split, metrics: Sequence[Metric] = (COUNT,), query: str = "",
    width: int = 24, height: int = 14,
) -> Panel:  # fmt: skip
    return Panel(key, title, "table", width, height, tuple(metrics), splits, query)


def heat(key: str, title: str, across: Split, down: Terms, query: str = "") -> Panel:
    return Panel(key, title, "heat", 48, 14, (COUNT,), (across, down), query)


def events(key: str, title: str, columns: Sequence[str], query: str = "") -> Panel:
    """The newest events themselves."""
    return Panel(key, title, "events", GRID_COLUMNS, 20, (), (), query, tuple(columns))


def text(key: str, title: str, markdown: str, width: int = 24, height: int = 12) -> Panel:
    return Panel(key, title, "text", width, height, (), text=markdown)


def any_of(name: str, *values: str) -> str:
    """DQL: the field has one of these values; `*` in a value stands for anything."""
    return f"{name}:({' or '.join(values)})"
