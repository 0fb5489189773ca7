"""Seals: decisions to cut, made by the clock and written into the log, which makes them facts.

    {"type": "seal", "reason": "settled", "parts": [[trail, account, region, hour, folder], ...]}

A seal cuts what its parts hold before its own position; parts that are empty there are passed by,
so asking twice (after a crash, a lost answer) does no harm. Its `appended_at` is the delivery time.
"""

from collections.abc import Callable, Iterable
from typing import Any

from opentrail_aggregator.archive.cutter import Order
from opentrail_aggregator.archive.gather import global_position
from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.parts import OpenPart, Settling, due
from opentrail_aggregator.wal.log import LogEntry

SEAL_FRAME = "seal"
PARTS_PER_SEAL = 256
"""Bounds the work between two checkpoints and the size of the frame."""
_EARLY_DOWN_TO = 0.8
_OLDEST_DOWN_TO = 0.5

AppendControl = Callable[[str, dict[str, Any]], Any]
"""Puts a control frame (type, body) into the log through ingest; raises if that failed."""


def choose(
    parts: Iterable[OpenPart],
    now_ns: int,
    monotonic: float,
    settling: Settling,
    running: frozenset[str],
) -> dict[str, list[OpenPart]]:
    """The parts that are due and not asked for yet, by reason, in order of their numbers."""
    chosen: dict[str, list[OpenPart]] = {}
    for part in parts:
        if part.asked:
            continue
        reason = due(part, now_ns, monotonic, settling, running)
        if reason is not None:
            chosen.setdefault(reason, []).append(part)
    return chosen


def choose_early(
    parts: Iterable[OpenPart], open_bytes: float, limit_bytes: float
) -> list[OpenPart]:
    """The largest parts, so many that what stays open is well below the limit; none if it is."""
    if open_bytes <= limit_bytes:
        return []
    raw = sum(part.raw_bytes for part in parts) or 1
    excess = (open_bytes - limit_bytes * _EARLY_DOWN_TO) / open_bytes * raw
    chosen: list[OpenPart] = []
    for part in sorted(parts, key=lambda each: (-each.raw_bytes, each.number)):
        if excess <= 0:
            break
        excess -= part.raw_bytes
        if not part.asked:
            chosen.append(part)
    return chosen


def choose_oldest(
    parts: Iterable[OpenPart], through: int, held_bytes: int, limit_bytes: float
) -> list[OpenPart]:
    """The parts that hold the beginning of the log back, if it has more than `limit_bytes` there.

    What an index that is away still needs can only go once it is archived, and one event in a part
    that stays open for an hour would hold everything behind it. `through` is the last global
    position gathered; parts are chosen that began in the share of the log that has to go.
    """
    parts = [part for part in parts if part.events]
    if held_bytes <= limit_bytes or not parts:
        return []
    first = min(part.first for part in parts)
    share = 1 - limit_bytes * _OLDEST_DOWN_TO / held_bytes
    before = first + (through - first) * share
    chosen = [part for part in parts if part.first <= before and not part.asked]
    return sorted(chosen, key=lambda each: (each.first, each.number))


def seal_body(reason: str, parts: list[OpenPart]) -> dict[str, Any]:
    """What the frame says."""
    return {"reason": reason, "parts": [list(part.key) for part in parts]}


def orders_in(entry: LogEntry, control: dict[str, Any]) -> list[Order]:
    """What a control frame orders if it is a seal."""
    return orders_of(entry, control) if control.get("type") == SEAL_FRAME else []


def orders_of(entry: LogEntry, control: dict[str, Any]) -> list[Order]:
    """What a seal frame orders, one cut per trail, account and region; nothing if malformed.

    Trails follow each other in each account and region: what they share is cut in a row.
    """
    keys: set[PartKey] = set()
    parts = control.get("parts")
    for item in parts if isinstance(parts, list) else []:
        if isinstance(item, list) and len(item) == 5 and isinstance(item[3], int):
            trail, account, region, hour, folder = item
            keys.add(PartKey(str(trail), str(account), str(region), hour, str(folder)))
    grouped: dict[tuple[str, str, str], list[PartKey]] = {}
    for key in sorted(keys, key=lambda each: (each.account, each.region, *each)):
        grouped.setdefault((key.trail, key.account, key.region), []).append(key)
    position = global_position(entry.position)
    reason = str(control.get("reason", ""))
    return [
        Order(cut_name(position, place), position, entry.appended_at_ns, reason, tuple(members))
        for place, members in enumerate(grouped.values())
    ]


def cut_name(position: int, place: int) -> str:
    """The name of a cut: where in the log, and which one there."""
    return f"{position:020d}-{place:04d}"
