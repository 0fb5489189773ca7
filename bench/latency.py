"""How long one waits: for an acknowledgement, and from a line in a file to an answer."""

import contextlib
import http.client
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from tests.system.processes import Installation
from tests.system.stranger import Stranger

from bench.figures import Figure, Scale
from bench.machine import Memory, family, memory
from bench.paced import Lines
from bench.shipping import percentile, ship_paced

PRODUCT = {"OPENTRAIL_ARCHIVE_SETTLE": "3m", "OPENTRAIL_ARCHIVE_SETTLE_MAX": "10m"}
PROBES = 4


@contextlib.contextmanager
def installed(*watch: str, environment: dict[str, str] | None = None) -> Iterator[Installation]:
    """`opentrail up` in a folder that is gone afterwards, with the product's own settings unless
    `environment` says otherwise."""
    directory = Path(tempfile.mkdtemp(prefix="opentrail-bench-"))
    installation = Installation(directory)
    try:
        installation.start(
            *(pattern.replace("@", str(directory)) for pattern in watch),
            environment=environment or PRODUCT,
        )
        yield installation
    finally:
        installation.destroy()
        shutil.rmtree(directory, ignore_errors=True)


def acknowledged(scale: Scale) -> list[Figure]:
    """A batch of 500 events 20 times a second, all roles running on the same cores."""
    with installed() as installation, Stranger(installation.home, installation.grpc) as stranger:
        done = ship_paced(stranger, rate=10_000, batch_events=500, seconds=scale.paced_seconds)
    p99 = percentile(done.waits, 0.99) * 1000
    return [
        Figure(
            "ack after fsync at 10,000 events/s, p99", f"{p99:.1f} ms", "<= 50 ms", p99 <= 50,
            f"p50 {percentile(done.waits, 0.5) * 1000:.1f} ms, {len(done.waits)} batches, all "
            f"roles at work, {done.events / done.seconds:,.0f} events/s",
        )
    ]  # fmt: skip


def found(scale: Scale) -> list[Figure]:
    """Probes are written into the followed file between the other lines and asked for at once."""
    with installed("@/load.json*") as installation:
        file = installation.home.parent / "load.json"
        waits: list[float] = []
        stop = threading.Event()
        lock = threading.Lock()
        probes = [
            threading.Thread(target=_probe, args=(installation, file, waits, lock, stop, n))
            for n in range(PROBES)
        ]
        writer = pace(file, 2_000, scale.paced_seconds * 2)
        time.sleep(2)
        for each in probes:
            each.start()
        aggregator = Memory()
        while writer.poll() is None:
            time.sleep(1)
            total = aggregator_memory(installation)
            if total.anonymous > aggregator.anonymous:
                aggregator = total
        stop.set()
        for each in probes:
            each.join()
        lateness = told(writer)["latest_tick_seconds"]
    p99 = percentile(waits, 0.99)
    return [
        Figure(
            "written line -> found at 2,000 events/s, p99", f"{p99:.2f} s", "<= 2 s", p99 <= 2,
            f"p50 {percentile(waits, 0.5):.2f} s, {len(waits)} probes, asked every 20 ms over "
            f"HTTP; the writer was at most {lateness} s late",
        ),
        Figure(
            "memory of all aggregator processes at 2,000 events/s, anonymous PSS",
            f"{aggregator.anonymous:.0f} MB", "<= 450 MB", aggregator.anonymous <= 450,
            f"highest of one look a second; PSS with mapped pages {aggregator.pss:.0f} MB",
        ),
    ]  # fmt: skip


def aggregator_memory(installation: Installation) -> Memory:
    """All processes but the agent's and the one that watches them from the terminal."""
    total = Memory()
    for process in installation.processes():
        if "agent" not in process.command:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += memory(process.pid)
    return total


def agent_pids(installation: Installation) -> list[int]:
    return family(installation.find("agent").pid)


def pace(file: Path, rate: int, seconds: float, first: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.paced", str(file), "--rate", str(rate)]
    command += ["--seconds", str(seconds), "--first", str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def told(writer: subprocess.Popen[bytes]) -> dict[str, float]:
    said: dict[str, float] = json.loads(writer.communicate()[0])
    return said


def ask(installation: Installation, path: str) -> bytes:
    """One GET over a connection of its own; empty when it is not answered well."""
    host, port = installation.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", path, headers=installation.authorization())
        response = connection.getresponse()
        return response.read() if response.status == 200 else b""
    finally:
        connection.close()


def _probe(
    installation: Installation, file: Path, waits: list[float], lock: threading.Lock,
    stop: threading.Event, number: int,
) -> None:  # fmt: skip
    draw = random.Random(number)
    template = Lines(1).make(0, 1)
    at = template.index(b'"eventID":"') + 11
    by = template.index(b'"eventTime":"') + 13
    while not stop.wait(draw.uniform(0, 0.2)):
        identifier = str(uuid.uuid4())
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        line = template[:by] + now + template[by + 20 : at] + identifier.encode()
        path = f"/api/events?limit=1&format=ndjson&query={quote('eventID:' + identifier)}"
        written = time.monotonic()
        with open(file, "ab", buffering=0) as out:
            out.write(line + template[at + 36 :])
        while not ask(installation, path) and time.monotonic() - written < 60:
            time.sleep(0.02)
        with lock:
            waits.append(time.monotonic() - written)
