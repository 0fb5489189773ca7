"""Ten minutes at 10,000 events a second with everything on; then every event is looked for."""

import http.client
import time

from tests.system.processes import Installation

from bench.figures import Figure, Scale
from bench.latency import installed, pace, told
from bench.paced import ID_DIGITS

RATE = 10_000
LOOK_SECONDS = 10
MARK = b'"eventID":"0be0c4e5-0000-4000-a000-'


def run(scale: Scale) -> list[Figure]:
    with installed("@/load.json*") as installation:
        file = installation.home.parent / "load.json"
        writer = pace(file, RATE, scale.sustained_seconds)
        lags: list[tuple[float, int]] = []
        started = time.monotonic()
        while writer.poll() is None:
            time.sleep(min(LOOK_SECONDS, scale.sustained_seconds / 5))
            lags.append((time.monotonic() - started, behind(installation, started)))
            print(f"  {lags[-1][0]:.0f} s: {lags[-1][1]:,} events not yet searchable", flush=True)
        said = told(writer)
        written = int(said["written"])
        drained = time.monotonic()
        wait_until_searchable(installation, written)
        tail_seconds = time.monotonic() - drained
        present = found_numbers(installation, written)
        missing = written - present
    half = [events for at, events in lags if at >= scale.sustained_seconds / 2]
    rest = [events for at, events in lags if at < scale.sustained_seconds / 2]
    growing = max(half, default=0) > 2 * max(max(rest, default=0), RATE)
    rate = written / (scale.sustained_seconds + max(0.0, tail_seconds - 2))
    return [
        Figure(
            f"sustained for {scale.sustained_seconds:.0f} s, all roles on the same cores",
            f"{rate:,.0f} events/s", "10,000 events/s, lag not growing",
            rate >= RATE * 0.99 and not growing,
            f"at most {max(rest + half):,} events not yet searchable, all searchable "
            f"{tail_seconds:.1f} s after the last; writer late by "
            f"{said['latest_tick_seconds']} s at most",
        ),
        Figure(
            "every event then found", f"{present:,} of {written:,}", "all", missing == 0,
            "by a lookup of everything, each eventID once",
        ),
    ]  # fmt: skip


def behind(installation: Installation, started: float) -> int:
    """Events written by now and not yet in the index."""
    status = installation.status(check=False)
    indexed = sum(status.get("indexed", {}).values())
    return max(0, int((time.monotonic() - started) * RATE) - indexed)


def wait_until_searchable(installation: Installation, written: int) -> None:
    deadline = time.monotonic() + 600
    while sum(installation.status(check=False).get("indexed", {}).values()) < written:
        if time.monotonic() > deadline:
            return
        time.sleep(0.5)


def found_numbers(installation: Installation, written: int) -> int:
    """How many of the numbers 0 to `written` come back exactly once from a lookup of everything."""
    host, port = installation.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=600)
    path = f"/api/events?limit={written * 2}&format=ndjson&query=%2A"
    connection.request("GET", path, headers=installation.authorization())
    response = connection.getresponse()
    seen = bytearray(written)
    rest = b""
    while piece := response.read(1 << 20):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if MARK not in line:
                continue  # An event about a question like this one.
            if (at := line.find(MARK)) < 0:
                continue  # An event about this bench's own questions.
            at += len(MARK)
            number = int(line[at : at + ID_DIGITS], 16)
            if number < written:
                seen[number] = min(2, seen[number] + 1)
    connection.close()
    return seen.count(1)
