"""Appends records to a file at a steady rate, in a process of its own so as not to disturb.

    python -m bench.paced FILE --rate 10000 --seconds 60 [--first 0]

Lines are taken from a small corpus; each gets its own eventID (ending in its number, in hex) and
the present time as its eventTime.  Prints, as JSON, how many were written and how late the worst
tick was: a writer that cannot keep its own pace would flatter what follows it.
"""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.corpus import records

TICK_SECONDS = 0.01
POOL = 20_000
ID_DIGITS = 12


def event_id(number: int) -> str:
    """The eventID of the `number`-th line."""
    return f"0be0c4e5-0000-4000-a000-{number:012x}"


class Lines:
    """Makes fresh lines out of a pool of old ones by changing bytes in place."""

    def __init__(self, pool: int = POOL) -> None:
        self._parts: list[tuple[bytes, bytes, bytes]] = []
        for line in records(pool, int(time.time())):
            at = line.index(b'"eventTime":"') + 13
            by = line.index(b'"eventID":"') + 11
            self._parts.append((line[:at], line[at + 20 : by], line[by + 36 :] + b"\n"))

    def make(self, first: int, count: int, age_seconds: int = 0) -> bytes:
        then = datetime.now(UTC) - timedelta(seconds=age_seconds)
        now = then.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        parts = self._parts
        return b"".join(
            b"".join((a, now, b, b"0be0c4e5-0000-4000-a000-%012x" % number, c))
            for number in range(first, first + count)
            for a, b, c in (parts[number % len(parts)],)
        )


def ticks(rate: float, seconds: float) -> Iterator[tuple[int, float]]:
    """How many lines are due at each tick, and how late the tick is."""
    started = time.monotonic()
    written = 0
    while True:
        now = time.monotonic() - started
        due = int(min(now, seconds) * rate) - written
        yield due, 0.0 if due <= 0 else now - written / rate
        written += due
        if now >= seconds:
            return
        time.sleep(max(0.0, TICK_SECONDS - (time.monotonic() - started - now)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    lines, written, latest = Lines(), 0, 0.0
    with open(options.file, "ab", buffering=0) as file:
        for due, late in ticks(options.rate, options.seconds):
            file.write(lines.make(options.first + written, due))
            written += due
            latest = max(latest, late)
    print(json.dumps({"written": written, "latest_tick_seconds": round(latest, 3)}))


if __name__ == "__main__":
    main()
