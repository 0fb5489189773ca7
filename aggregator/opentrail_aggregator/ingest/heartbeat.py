"""What of an agent's heartbeat goes into the log, and what only into the status.

The log gets what decides results: up to which batch everything read before a moment is sent (so
that an hour can be called complete), which imports run and which have ended. A heartbeat is valid
once the batch it names is in the log: its `sequence` may be ahead of the batches before it.

A thousand idle files would make every heartbeat 150 kB. So the log gets a bounded list, with those
first that anything depends on; `status` sees all of them.
"""

from collections.abc import Iterator
from typing import Any

from opentrail.limits import CONTROL_MAX_BYTES, HEARTBEAT_MAX_SOURCES
from opentrail.v1.ingest_pb2 import Heartbeat, Source
from opentrail_aggregator.wal.log import NewFrame, control_frame

LOGGED_SOURCES_MAX = 200
SHOWN_SOURCES_MAX = HEARTBEAT_MAX_SOURCES
FIGURES_MAX = 200
TEXT_MAX_CHARACTERS = 1024


def heartbeat_frame(agent: str, epoch: str, heartbeat: Heartbeat, received_at_ns: int) -> NewFrame:
    """The control frame `heartbeat`."""
    telling = sorted(heartbeat.sources, key=_importance)
    body = {
        "agent": agent,
        "epoch": epoch,
        "sequence": heartbeat.sequence,
        "reported_at_ns": heartbeat.reported_at_ns,
        "received_at_ns": received_at_ns,
        "sources": [source_row(source) for source in telling[:LOGGED_SOURCES_MAX]],
        "source_count": len(heartbeat.sources),
        "backlog_bytes": backlog_bytes(heartbeat),
    }
    return control_frame("heartbeat", body)


def import_ended_frame(agent: str, epoch: str, sequence: int, source: Source) -> NewFrame:
    """The control frame `import-ended`: everything of that import is before it in the log."""
    body = {
        "agent": agent,
        "epoch": epoch,
        "sequence": sequence,
        "source": _clip(source.name),
        "generation": _clip(source.generation),
    }
    return control_frame("import-ended", body)


def ended_imports(heartbeat: Heartbeat) -> Iterator[Source]:
    """Sources that are imports and done."""
    return (source for source in heartbeat.sources if source.ended and source.kind == "import")


def status_row(heartbeat: Heartbeat) -> dict[str, Any]:
    """What `status` shows of the last heartbeat."""
    return {
        "sequence": heartbeat.sequence,
        "reported_at_ns": heartbeat.reported_at_ns,
        "backlog_bytes": backlog_bytes(heartbeat),
        "source_count": len(heartbeat.sources),
        "sources": [source_row(source) for source in heartbeat.sources[:SHOWN_SOURCES_MAX]],
        "figures": {
            _clip(name): value for name, value in list(heartbeat.figures.items())[:FIGURES_MAX]
        },
    }


def source_row(source: Source) -> dict[str, Any]:
    """One source in JSON."""
    return {
        "name": _clip(source.name),
        "position": source.position,
        "size": source.size,
        "generation": _clip(source.generation),
        "kind": _clip(source.kind),
        "ended": source.ended,
    }


def backlog_bytes(heartbeat: Heartbeat) -> int:
    """Bytes that are at the sources and not in batches yet."""
    return sum(max(0, source.size - source.position) for source in heartbeat.sources)


def _importance(source: Source) -> tuple[bool, bool, bool]:
    """Sorts what has not ended first, then imports, then what is behind."""
    return source.ended, source.kind != "import", source.position >= source.size


def _clip(text: str) -> str:
    return text[:TEXT_MAX_CHARACTERS]


# Four texts a source: the largest heartbeat frame is still a control frame.
assert LOGGED_SOURCES_MAX * TEXT_MAX_CHARACTERS * 3 < CONTROL_MAX_BYTES
