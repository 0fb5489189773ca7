"""What the agent says about itself: how far its sources are read, and its figures.

A heartbeat lets the aggregator say that an hour is complete: *everything that was read before
`reported_at` is in batches up to `sequence`*. So the report comes first, with a moment by which all
that the sources held is in the spool, and the sequence is read from the spool after it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentrail.limits import HEARTBEAT_MAX_SOURCES
from opentrail.v1 import ingest_pb2 as pb


@dataclass(frozen=True, slots=True)
class Report:
    """All sources at one moment."""

    reported_at_ns: int
    """Everything that the sources held at this time is in the spool; 0 says nothing."""
    sources: Sequence[Mapping[str, Any]]
    """Each with name, position, size, generation, kind and ended, as in the message."""


Reporter = Callable[[], Report]


def heartbeat(report: Report, sequence: int, figures: Mapping[str, float]) -> pb.Heartbeat:
    """The message; `sequence` was read after the report was made."""
    shown = sorted(report.sources, key=lambda source: bool(source["ended"]))
    message = pb.Heartbeat(sequence=max(0, sequence), reported_at_ns=report.reported_at_ns)
    for source in shown[:HEARTBEAT_MAX_SOURCES]:
        message.sources.add(
            name=source["name"],
            position=source["position"],
            # A compressed file may hold more than it shows.
            size=max(source["size"], source["position"]),
            generation=source["generation"],
            kind=source["kind"],
            ended=source["ended"],
        )
    message.figures.update(figures)
    return message
