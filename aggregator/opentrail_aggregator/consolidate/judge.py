"""From what was found in some frames to their verdicts: copies, conflicts, items for quarantine.

All events of all frames of a step are asked for in the id set at once; then only those that were
there before are looked at one by one. The order of the log decides which of two is the first.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opentrail_aggregator.consolidate.examine import Examined
from opentrail_aggregator.consolidate.firsts import FirstRecords
from opentrail_aggregator.consolidate.ids.idsets import IdSets
from opentrail_aggregator.consolidate.refusals import NO_KEY, find_copies, refusal_keys
from opentrail_aggregator.consolidate.same import same_json
from opentrail_aggregator.consolidate.verdict import (
    CONFLICT,
    COPY,
    KEPT,
    NO_GROUP,
    REFUSED,
    Group,
    Verdict,
)
from opentrail_aggregator.quarantine.item import Item, item_of

if TYPE_CHECKING:
    from opentrail_aggregator.wal.log import LogEntry

_EMPTY_KEY = bytes(16)


@dataclass(slots=True)
class Judged:
    """One frame: its verdict but for the totals, and what goes to quarantine."""

    verdict: Verdict
    items: list[Item] = field(default_factory=list)
    kept: int = 0
    copies: int = 0


def judge(
    frames: "list[tuple[LogEntry, Examined]]",
    ids: IdSets,
    firsts: FirstRecords,
    item_max_bytes: int,
) -> list[Judged]:
    """The verdict of each frame, in order; adds what is new to `ids`."""
    columns = [_Columns(entry.position, found) for entry, found in frames]
    keys = [key for each in columns for key in each.keys]
    if keys:
        _ask(columns, keys, ids, firsts)
    refused = [
        (entry.position, refusal_keys(entry.agent, found.sources, found.items))
        for entry, found in frames
    ]
    for each, (_, refusals), copies in zip(
        columns, refused, find_copies(ids, refused), strict=True
    ):
        each.take_refusals(refusals, copies)
    return [
        _judged(each, entry, item_max_bytes)
        for each, (entry, _) in zip(columns, frames, strict=True)
    ]


def _ask(columns: "list[_Columns]", keys: list[bytes], ids: IdSets, firsts: FirstRecords) -> None:
    """Find out which events had been there before, all at once."""
    positions = np.concatenate([each.positions for each in columns])
    first_hash, first_position = ids.find_or_add(
        keys,
        np.concatenate([each.hours for each in columns]),
        np.concatenate([each.hashes for each in columns]),
        positions,
    )
    begin = 0
    for each in columns:
        end = begin + len(each.keys)
        for at in np.flatnonzero(first_position[begin:end] != each.positions).tolist():
            each.compare(at, int(first_hash[begin + at]), int(first_position[begin + at]), firsts)
        begin = end


class _Columns:
    """The admitted events of one frame as columns, and what becomes of every line."""

    def __init__(self, position: int, found: Examined) -> None:
        self.found = found
        count = len(found.lines)
        self.group_of: NDArray[np.uint16] = np.array(found.group_of, dtype="<u2")
        self.outcomes = bytearray(count)
        admitted = np.arange(count)
        if found.refused:
            for ordinal in found.refused:
                self.outcomes[ordinal] = REFUSED
            admitted = np.flatnonzero(self.group_of != NO_GROUP)
        self.ordinals: NDArray[np.intp] = admitted
        self.keys = [key for key in found.keys if key]
        self.line_hashes = found.hashes()
        self.hashes = np.frombuffer(self.line_hashes, np.uint64)[admitted]
        group_hours = np.array([group.hour for group in found.groups], dtype=np.int64)
        self.hours: NDArray[np.int64] = group_hours[self.group_of[admitted]]
        self.positions = (admitted + (position << 16)).astype(np.uint64)
        self.conflicts: dict[int, str] = {}
        self.refusals: list[bytes] = []
        """The keys of what the agent refused, NO_KEY for copies."""
        self.refused_again: set[int] = set()

    def take_refusals(self, keys: list[bytes], copies: set[int]) -> None:
        """Know what the agent refused, and which of it had come before."""
        self.refused_again = copies
        self.refusals = [NO_KEY if n in copies else key for n, key in enumerate(keys)]

    def compare(self, at: int, first_hash: int, first_position: int, firsts: FirstRecords) -> None:
        """Decide about an event whose key another one had before."""
        ordinal = int(self.ordinals[at])
        if first_hash == int(self.hashes[at]):
            self._not_kept(ordinal, COPY)
            return
        group: Group = self.found.groups[self.found.group_of[ordinal]]
        first = firsts.find(first_position, group, self.keys[at])
        where = f"log position {first_position >> 16}, record {first_position & 0xFFFF}"
        if first is None:
            self.conflicts[ordinal] = (
                f"the first event with this id ({where}) has other bytes and cannot be read back, "
                "so they were not compared as JSON"
            )
        elif same_json(first, self.found.lines[ordinal]):
            self._not_kept(ordinal, COPY)
            return
        else:
            self.conflicts[ordinal] = f"the first event with this id is at {where}"
        self._not_kept(ordinal, CONFLICT)

    def _not_kept(self, ordinal: int, outcome: int) -> None:
        self.outcomes[ordinal] = outcome
        self.group_of[ordinal] = NO_GROUP


def _judged(columns: _Columns, entry: "LogEntry", item_max_bytes: int) -> Judged:
    found, outcomes = columns.found, columns.outcomes
    verdict = Verdict(
        entry.position,
        len(found.lines),
        bytes(outcomes),
        found.groups,
        columns.group_of.tobytes(),
        np.array(found.times, dtype="<i8").tobytes(),
        b"".join(found.keys)
        if not found.refused
        else b"".join([key or _EMPTY_KEY for key in found.keys]),
        found.derived,
        hashes=columns.line_hashes,
    )
    if any(key != NO_KEY for key in columns.refusals):
        verdict.refusals = b"".join(columns.refusals)
    copies = outcomes.count(COPY) + len(columns.refused_again)
    judged = Judged(verdict, kept=outcomes.count(KEPT), copies=copies)
    if found.refused or columns.conflicts or found.items:
        judged.items = _items(columns, entry, item_max_bytes)
    return judged


def _items(columns: _Columns, entry: "LogEntry", item_max_bytes: int) -> list[Item]:
    """What goes to quarantine: refused lines and conflicts, then what the agent newly refused."""
    found = columns.found
    items: list[Item] = []
    why = {ordinal: (refused.reason, refused.detail) for ordinal, refused in found.refused.items()}
    why |= {ordinal: ("conflict", detail) for ordinal, detail in columns.conflicts.items()}
    for ordinal, (reason, detail) in sorted(why.items()):
        run = found.source_of(ordinal)
        items.append(
            item_of(
                found.lines[ordinal],
                item_max_bytes,
                id=f"{entry.position}-{len(items)}",
                position=entry.position,
                ordinal=ordinal,
                reason=reason,
                detail=detail,
                agent=entry.agent,
                source=run.source,
                offset=run.begin,
                account=run.account,
                region=run.region,
                derived=run.derived.get(ordinal, ""),
                at=entry.appended_at_ns,
            )
        )
    for number, (refused, key) in enumerate(zip(found.items, columns.refusals, strict=True)):
        if number in columns.refused_again:
            continue
        items.append(
            Item(
                id=f"{entry.position}-{len(items)}",
                position=entry.position,
                ordinal=-1,
                reason=refused.reason,
                detail=refused.detail,
                agent=entry.agent,
                source=refused.source,
                offset=refused.offset,
                length=refused.length,
                sha256=refused.sha256,
                bytes=refused.head_b64,
                account=refused.account,
                region=refused.region,
                key=key.hex() if key != NO_KEY else "",
                at=entry.appended_at_ns,
            )
        )
    return items


def judge_unreadable(
    position: int,
    events: int,
    refused: int,
    reason: str,
    item_max_bytes: int,
    *,
    payload: bytes = b"",
    agent: str = "",
    at_ns: int = 0,
) -> Judged:
    """The verdict of a frame of which nothing can be told: one item stands for all its events."""
    verdict = Verdict(
        position,
        events,
        bytes([REFUSED]) * events,
        [],
        b"\xff\xff" * events,
        bytes(8 * events),
        bytes(16 * events),
        hashes=bytes(8 * events),
        damage=reason,
    )
    judged = Judged(verdict)
    if events + refused:
        judged.items = [
            item_of(
                payload,
                item_max_bytes,
                id=f"{position}-0",
                position=position,
                ordinal=-1,
                reason="damaged",
                detail=reason,
                agent=agent,
                events=events + refused,
                at=at_ns,
            )
        ]
    return judged
