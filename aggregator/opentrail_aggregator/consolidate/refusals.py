"""What an agent refused has no eventID; this is how it is known again when it comes twice.

An agent that was killed between keeping a batch and noting how far it had read reads the same bytes
again. What it refuses then has the place it had before, in the same generation of the same source,
and the same content: that is its key, and it lies in the id set beside those of events, apart from
them in an hour that no event has. So a refusal is in quarantine once, and its copies are counted as
duplicates. Where the source has no generation nothing is known again and everything is kept.
"""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from opentrail.batch import RefusedItem, SourceRun
from opentrail.identity import KEY_BYTES, refusal_key

if TYPE_CHECKING:
    from opentrail_aggregator.consolidate.ids.idsets import IdSets

REFUSED_HOUR = 1 << 40
"""Beyond all others, so the id set holds them under its last hour and never forgets them."""
_AT_ONCE = 10_000
NO_KEY = bytes(KEY_BYTES)
"""Of a refusal that cannot be known again, and of one that is a copy."""


def refusal_keys(agent: str, sources: list[SourceRun], items: list[RefusedItem]) -> list[bytes]:
    """The key of each refusal, NO_KEY where there is none.

    The sources of a batch say whose the refusals are, in order; where they claim another number
    than there is, nobody knows.
    """
    if not items:
        return []
    claims = [run.refused for run in sources]
    if min(claims, default=0) < 0 or sum(claims) != len(items):
        return [NO_KEY] * len(items)
    generations = [run.generation for run in sources for _ in range(run.refused)]
    return [
        refusal_key(agent, generation, item.offset, item.length, item.reason, item.sha256)
        if generation
        else NO_KEY
        for generation, item in zip(generations, items, strict=True)
    ]


def find_copies(ids: "IdSets", frames: list[tuple[int, list[bytes]]]) -> list[set[int]]:
    """Of each frame's refusals, those that had come before; adds the others to `ids`.

    `frames`: log position and the keys of its refusals. For one that is asked for again after a
    crash its own place is found, so it is no copy of itself.
    """
    asked = [
        (frame, number, key, position << 16 | number)
        for frame, (position, keys) in enumerate(frames)
        for number, key in enumerate(keys)
        if key != NO_KEY
    ]
    copies: list[set[int]] = [set() for _ in frames]
    if not asked:
        return copies
    found = _find_or_add(ids, [key for _, _, key, _ in asked], [at for *_, at in asked])
    for (frame, number, _, at), first in zip(asked, found, strict=True):
        if first != at:
            copies[frame].add(number)
    return copies


def remember(ids: "IdSets", position: int, keys: bytes) -> None:
    """Put the refusals of a verdict into the id set again."""
    wanted = [
        (key, position << 16 | number)
        for number in range(len(keys) // KEY_BYTES)
        if (key := keys[KEY_BYTES * number : KEY_BYTES * (number + 1)]) != NO_KEY
    ]
    if wanted:
        _find_or_add(ids, [key for key, _ in wanted], [at for _, at in wanted])


def remember_items(ids: "IdSets", items: Iterable[tuple[int, int, bytes]]) -> None:
    """Put what a quarantine holds (log position, number, key) into a new id set."""
    items = iter(items)
    while some := list(islice(items, _AT_ONCE)):
        _find_or_add(ids, [key for *_, key in some], [at << 16 | number for at, number, _ in some])


def _find_or_add(ids: "IdSets", keys: list[bytes], places: list[int]) -> list[int]:
    hours = np.full(len(keys), REFUSED_HOUR, dtype=np.int64)
    # The key is made with the SHA-256 already; the column only has to be the same each time.
    hashes = np.frombuffer(b"".join(key[:8] for key in keys), dtype="<u8").astype(np.uint64)
    _, first = ids.find_or_add(keys, hours, hashes, np.array(places, dtype=np.uint64))
    found: list[int] = first.tolist()
    return found
