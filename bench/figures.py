"""What a measurement hands to the table, and how the table is printed."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what was measured, the bound, and whether it holds."""

    what: str
    measured: str
    bound: str
    holds: bool | None
    """None when there was nothing to compare with."""
    note: str = ""


Measure = Callable[["Scale"], list[Figure]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is; `small` shows that everything works and says nothing about speed."""

    name: str
    corpus_events: int
    paced_seconds: float
    sustained_seconds: float
    backlog_bytes: int
    runs: int
    searched_events: int
    questions: int
    rebuilt_events: int


FULL = Scale("full", 1_000_000, 60, 600, 5_000_000_000, 3, 5_000_000, 1_000, 1_000_000)
QUICK = Scale("quick", 300_000, 20, 60, 500_000_000, 1, 500_000, 300, 200_000)
SMALL = Scale("small", 20_000, 5, 10, 30_000_000, 1, 20_000, 60, 30_000)
SCALES = {each.name: each for each in (FULL, QUICK, SMALL)}


def table(figures: list[Figure]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | measured | at least / at most | holds |", "| --- | --- | --- | --- |"]
    words = {True: "yes", False: "**no**", None: "-"}
    for each in figures:
        measured = f"{each.measured} ({each.note})" if each.note else each.measured
        lines.append(f"| {each.what} | {measured} | {each.bound} | {words[each.holds]} |")
    return "\n".join(lines)
