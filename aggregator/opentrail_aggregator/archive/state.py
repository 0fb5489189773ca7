"""What the archive has to know at its durable place, beside the events themselves: a part of
CURRENT in the staging folder, written at every checkpoint and, once, by a rebuild.
"""

from collections.abc import Collection, Mapping
from typing import Any

from opentrail_aggregator.archive.cutter import ChainHead
from opentrail_aggregator.archive.marks import Marks
from opentrail_aggregator.archive.parts import OpenPart
from opentrail_aggregator.archive.reporters import Reporters
from opentrail_aggregator.archive.trails import Trails
from opentrail_aggregator.archive.unselected import Unselected


def encode_state(
    kept_total: int,
    gathered_through: int,
    chains: Mapping[str, ChainHead],
    trails: Trails,
    reporters: Reporters,
    marks: Marks,
    unselected: Unselected | None = None,
    parts: Collection[OpenPart] = (),
) -> dict[str, Any]:
    """Plain values for `restore_state`, and for those who read figures from CURRENT."""
    unselected = unselected or Unselected()
    opened: dict[str, int] = {}
    for part in parts:
        opened[part.key.trail] = opened.get(part.key.trail, 0) + part.events
    return {
        "kept_total": kept_total,
        "unselected": unselected.total,
        "unselected_frames": unselected.state(),
        "open_events": opened,
        "gathered_through": gathered_through,
        "chains": {
            arn: {"sequence": head.sequence, "key": head.key, "sha256": head.sha256}
            for arn, head in chains.items()
        },
        "trails": trails.state(),
        "reporters": reporters.state(),
        "marks": marks.state(),
    }


def restore_state(
    state: Mapping[str, Any],
    chains: dict[str, ChainHead],
    trails: Trails,
    reporters: Reporters,
    marks: Marks,
    unselected: Unselected | None = None,
) -> int:
    """Let everything be as when the state was taken; the total of kept events."""
    chains.update({arn: ChainHead(**head) for arn, head in state["chains"].items()})
    kept_total = int(state["kept_total"])
    if "trails" in state:  # A rebuild leaves to the log what is only in it.
        trails.restore(state["trails"], kept_total)
        reporters.restore(state["reporters"])
        marks.restore(state.get("marks", {}))
    else:
        trails.begin(kept_total)
    if unselected is not None:
        unselected.restore(state.get("unselected_frames", {}))
    return kept_total
