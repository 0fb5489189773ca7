"""What `status` shows of agents: their numbers, who is connected, the last heartbeat."""

from collections.abc import Mapping
from typing import Any

from opentrail_aggregator.ingest.ledger import Ledger
from opentrail_aggregator.ingest.visits import Place


def agents_view(ledger: Ledger, places: Mapping[tuple[str, str], Place]) -> list[dict[str, Any]]:
    """What `status` shows of each numbering, the latest first."""
    rows = []
    for numbering in sorted(ledger, key=lambda each: -each.at_ns)[:5_000]:
        place = places.get((numbering.agent, numbering.epoch))
        visit = place.visit if place else None
        rows.append(
            {
                "agent": numbering.agent,
                "epoch": numbering.epoch,
                "begins_at": numbering.begins_at,
                "sequence": numbering.last,
                "position": numbering.position,
                "at_ns": numbering.at_ns,
                "missing": numbering.missing,
                "connected": visit is not None,
                "host": visit.host if visit else "",
                "version": visit.version if visit else "",
                "on_way": len(place.lane.on_way) if place else 0,
                "heartbeat": place.heartbeat if place else {},
            }
        )
    return rows
