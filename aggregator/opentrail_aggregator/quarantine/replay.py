"""Items judged again: batches made of their bytes, to be submitted from inside.

A replay is a new batch of the agent `opentrail/replay`, which speaks for every account: the person
who replays vouches for what is in it. Whoever submits it then has ingest write a control frame
`replayed` with the ids; consolidate marks the items. They stay where they are and stay counted, as
received and as quarantined; what was submitted is received once more. A crash before the mark
leaves items that can be replayed again, whose events are then copies.
"""

from dataclasses import dataclass, field

from opentrail.batch import RefusedItem, SourceRun, seal_batch
from opentrail.limits import BATCH_MAX_EVENTS, BATCH_RAW_BYTES
from opentrail.record import Refused, admit
from opentrail_aggregator.quarantine.item import Item

AGENT = "opentrail/replay"
_NO_REFUSED: list[RefusedItem] = []


@dataclass(slots=True)
class Replay:
    """What can be submitted, and what cannot and why."""

    batches: list[tuple[bytes, list[str]]] = field(default_factory=list)
    """Payload, and ids of the items in it."""
    left: list[tuple[str, str]] = field(default_factory=list)
    """Item id, and why it stays."""


def prepare_replay(items: list[Item]) -> Replay:
    """Batches of all items that are whole records."""
    replay = Replay()
    lines: list[bytes] = []
    runs: list[SourceRun] = []
    ids: list[str] = []

    def seal() -> None:
        if lines:
            raw = b"".join(line + b"\n" for line in lines)
            replay.batches.append((seal_batch(raw, len(lines), runs, _NO_REFUSED), list(ids)))
        lines.clear()
        runs.clear()
        ids.clear()

    size = 0
    for item in items:
        line = item.content
        why = _why_not(item, line)
        if why:
            replay.left.append((item.id, why))
            continue
        if lines and (
            size + len(line) > BATCH_RAW_BYTES or len(lines) >= min(BATCH_MAX_EVENTS, 5_000)
        ):
            seal()
            size = 0
        runs.append(
            SourceRun(
                source=f"quarantine:{item.id}",
                account=item.account,
                region=item.region,
                events=1,
                derived={len(lines): item.derived} if item.derived else {},
                end=len(line),
                kind="api",
            )
        )
        lines.append(line)
        ids.append(item.id)
        size += len(line) + 1
    seal()
    return replay


def _why_not(item: Item, line: bytes) -> str:
    if not item.is_whole:
        return f"only {len(line)} of its {item.length} bytes were kept"
    if b"\n" in line:
        return "it holds a line break"
    what = admit(line, item.account, item.region, item.derived)
    if isinstance(what, Refused):
        return f"it is still no event: {what.reason} {what.detail}".rstrip()
    return ""
