"""What the agent says about itself: how far its sources are read, and its figures.

A heartbeat lets the aggregator say that an hour is complete: *everything that was read before
`reported_at` is in batches up to `sequence`*. So the moment is taken first and the sequence last,
and if something read before that moment is still on its way into the spool, the moment is moved
back to when that was read.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from opentrail.limits import HEARTBEAT_MAX_SOURCES
from opentrail.v1 import ingest_pb2 as pb


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One source as a heartbeat shows it."""

    name: str
    position: int
    """Bytes read and spooled."""
    size: int
    """Bytes there."""
    generation: str = ""
    kind: str = "follow"
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All sources at one moment."""

    reported_at_ns: int
    """Everything read before this is in the spool."""
    sources: Sequence[SourceReport]


Reporter = Callable[[], Awaitable[Report]]


def heartbeat(report: Report, sequence: int, figures: dict[str, float]) -> pb.Heartbeat:
    """The message; `sequence` was read after the report was made."""
    shown = sorted(report.sources, key=lambda source: source.ended)[:HEARTBEAT_MAX_SOURCES]
    message = pb.Heartbeat(sequence=max(0, sequence), reported_at_ns=report.reported_at_ns)
    for source in shown:
        message.sources.add(
            name=source.name,
            position=source.position,
            size=max(source.size, source.position),
            generation=source.generation,
            kind=source.kind,
            ended=source.ended,
        )
    for name, value in figures.items():
        message.figures[name] = value
    if len(report.sources) > len(shown):
        message.figures["opentrail_agent_sources_not_shown"] = len(report.sources) - len(shown)
    return message
