"""The embedded index made anew from the archive, while the installation runs and answers.

The archive is filled by the product itself: a file is followed, its events are cut into objects.
The clock runs over the whole command, from the start of its process to the switch.
"""

import time
from collections.abc import Iterator

from tests.system.processes import QUICK, Installation, wait_for

from bench.figures import Figure, Scale
from bench.latency import installed
from bench.paced import Lines
from bench.sustained import found_numbers

LEAST = 12_000
CHUNK = 10_000
AGE_SECONDS = 2 * 3600
"""Of an hour that is over: what belongs to the present one is not cut before its end."""
FILL_SECONDS = 420


def run(scale: Scale) -> list[Figure]:
    events = scale.rebuilt_events
    with installed("@/load.json*", environment=QUICK) as installation:
        file = installation.home.parent / "load.json"
        with open(file, "ab") as out:
            for piece in _pieces(events):
                out.write(piece)
        wait_for("all events are archived", lambda: _archived(installation) >= events,
                 FILL_SECONDS, 2.0)  # fmt: skip
        began = time.monotonic()
        installation.run("index", "rebuild", "--from", "archive", seconds=600)
        took = time.monotonic() - began
        present = found_numbers(installation, events)
    return [
        Figure(
            f"index rebuilt from the archive, {events:,} events", f"{events / took:,.0f} events/s",
            f">= {LEAST:,} events/s", events / took >= LEAST and present == events,
            f"{took:.1f} s for the whole command; {present:,} found by a lookup of everything",
        )
    ]  # fmt: skip


def _pieces(events: int) -> Iterator[bytes]:
    lines = Lines()
    for first in range(0, events, CHUNK):
        yield lines.make(first, min(CHUNK, events - first), AGE_SECONDS)


def _archived(installation: Installation) -> int:
    return sum(installation.status(check=False).get("archived", {}).values())
