"""Conservation: two equations over figures that each store counted for itself.

    received = duplicates + quarantined + indexed  + expired    + pending.index
             = duplicates + quarantined + archived + unselected + pending.archive

Stores are at different positions of the log while events stream in. Each sink's figure is true at
its own cursor; the verdicts know how many events had been kept up to any position, so what lies
between a sink's cursor and the end of the log is known without asking it. One missing document
therefore leaves a gap of one, whatever else is going on.

            kept through cursor           kept through C           received through P
    ├─ done + aside + staged ─┤─ on its way to the sink ─┤─ not consolidated yet ─┤

Pure values; nothing here is worked out by subtracting one store's figure from another's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Judged:
    """What the verdicts say through one log position."""

    position: int
    kept: int
    copies: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Sink:
    """What one sink holds, counted by itself, true at its cursor."""

    name: str
    position: int
    kept: int
    """Events the verdicts had kept through `position`: what the sink should account for."""
    done: int
    """Documents, or events in objects that are there."""
    aside: int
    """Expired (index) or selected by no trail (archive)."""
    staged: int = 0
    """Taken, and not yet done: in parts that are not delivered."""
    missing: int = 0
    """What the sink itself knows that it cannot bring back."""
    findings: tuple[str, ...] = ()
    """What it found wrong while it counted."""
    trails: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of an archive: each trail's own sum, kept = archived + unselected + pending, by ARN."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything, at log position `position`."""

    position: int
    received: int
    judged: Judged
    received_judged: int
    """Received through `judged.position`, by the log."""
    quarantined: int
    """Events in quarantine that came up to `judged.position`, by the quarantine."""
    index: Sink
    archive: Sink
    also: tuple[Sink, ...] = ()
    """A second index, while events move from one to the other."""

    @property
    def pending(self) -> dict[str, int]:
        """Per sink: received, and neither in it nor set aside."""
        ahead = self.received - self.received_judged
        return {
            sink.name: ahead + (self.judged.kept - sink.kept) + sink.staged
            for sink in (self.index, *self.also, self.archive)
        }


def wrong_figures(figures: Figures) -> list[str]:
    """One sentence for each figure that does not agree with its witness; empty if all is well."""
    judged = figures.judged
    wrong: list[str] = []

    def compare(name: str, counted: int, expected: int, what: str) -> None:
        if counted != expected:
            difference = counted - expected
            wrong.append(
                f"{name}: {what} {counted:,}, and {expected:,} are accounted for ({difference:+,})"
            )

    compare(
        "received",
        figures.received_judged,
        judged.kept + judged.copies + judged.quarantined,
        f"through position {judged.position} the log received",
    )
    compare(
        "quarantined",
        figures.quarantined,
        judged.quarantined,
        "the quarantine holds",
    )
    for name, aside, sink in (
        ("indexed", "expired", figures.index),
        *((f"indexed.{sink.name}", "expired", sink) for sink in figures.also),
        ("archived", "unselected", figures.archive),
    ):
        if sink.missing:
            wrong.append(
                f"{name}: {sink.missing:,} events could not be brought back when it was rebuilt"
            )
        compare(
            name,
            sink.done + sink.aside + sink.staged + sink.missing,
            sink.kept,
            f"through position {sink.position} {name} {sink.done:,} + {aside} {sink.aside:,}"
            + (f" + staged {sink.staged:,}" if sink.staged else "")
            + " are",
        )
        wrong += [f"{name}: {each}" for each in sink.findings]
    return wrong


def equations(figures: Figures) -> list[tuple[str, int, int]]:
    """(sink, left side, right side) of both equations."""
    pending = figures.pending
    shared = figures.judged.copies + figures.quarantined
    return [
        (sink.name, figures.received, shared + sink.done + sink.aside + pending[sink.name])
        for sink in (figures.index, *figures.also, figures.archive)
    ]


def described(figures: Figures) -> dict[str, Any]:
    """The figures under the names that `status` promises."""
    wrong: Sequence[str] = wrong_figures(figures)
    if not wrong:
        wrong = [
            f"{name}: received {left:,} is not the sum of its parts, {right:,}"
            for name, left, right in equations(figures)
            if left != right
        ]
    return {
        "position": figures.position,
        "received": figures.received,
        "duplicates": figures.judged.copies,
        "quarantined": figures.quarantined,
        "indexed": {sink.name: sink.done for sink in (figures.index, *figures.also)},
        "archived": {figures.archive.name: figures.archive.done},
        "expired": figures.index.aside,
        "expired_in": {sink.name: sink.aside for sink in figures.also},
        "unselected": figures.archive.aside,
        "trails": {arn: dict(each) for arn, each in figures.archive.trails.items()},
        "pending": figures.pending,
        "sums_agree": not wrong,
        "wrong": list(wrong),
    }
