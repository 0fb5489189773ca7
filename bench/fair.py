"""What a flood of one agent costs the others: their wait for an acknowledgement, with and without.

`python -m bench.fair HOME PORT` is the flood: batches of a quarter of a megabyte, as fast as the
window lets them, until it is killed. It has a process of its own, so that what the others wait for
is ingest and not each other's event loop.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.aggregator.ingest.agents import HandAgent, payload
from tests.aggregator.ingest.process import IngestProcess

from bench.figures import Figure, Scale
from bench.shipping import percentile
from opentrail.limits import BATCH_WINDOW, MIB, SEGMENT_BYTES
from opentrail_aggregator.home import Home
from opentrail_aggregator.wal.disk_reader import open_reader

QUIET = 5
EVENTS = 20
PAUSE_SECONDS = 0.05
FLOOD_BYTES = 250_000
PHASES = 3
"""In turns with and without the flood, so that a noisy minute of the machine hits both."""


class Probes:
    """A few quiet agents, each with a small batch up to twenty times a second."""

    def __init__(self, process: IngestProcess) -> None:
        self._agents = [HandAgent(process.home, process.port, f"quiet-{n}") for n in range(QUIET)]
        self._body = payload("{}", EVENTS)
        self._sent = 0

    async def begin(self) -> None:
        for agent in self._agents:
            agent.connect()
            await agent.hello()

    async def end(self) -> None:
        for agent in self._agents:
            await agent.__aexit__()

    async def waits(self, seconds: float) -> list[float]:
        """Seconds from sending to the acknowledgement, of each batch."""
        waits: list[float] = []

        async def ask(agent: HandAgent, sequence: int) -> None:
            began = time.monotonic()
            await agent.send(sequence, self._body)
            await agent.acknowledged(sequence)
            waits.append(time.monotonic() - began)

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._sent += 1
            await asyncio.gather(*(ask(agent, self._sent) for agent in self._agents))
            await asyncio.sleep(PAUSE_SECONDS)
        return waits


def run(scale: Scale) -> list[Figure]:
    """The p99 of quiet agents beside a flood, against theirs without."""
    with tempfile.TemporaryDirectory(prefix="opentrail-bench-") as directory:
        process = IngestProcess(Path(directory), segment_mib=SEGMENT_BYTES // MIB)
        try:
            process.start()
            return asyncio.run(_measure(process, scale.paced_seconds / (2 * PHASES)))
        finally:
            process.destroy()


async def _measure(process: IngestProcess, seconds: float) -> list[Figure]:
    await _served(process)
    alone: list[float] = []
    beside: list[float] = []
    floods = asked = 0
    probes = Probes(process)
    await probes.begin()
    try:
        await probes.waits(1)
        for _ in range(PHASES):
            alone.append(percentile(await probes.waits(seconds), 0.99))
            async with _flood(process):
                before = _frames(process)
                waits = await probes.waits(seconds)
                floods += _frames(process) - before - len(waits)
            asked += len(waits)
            beside.append(percentile(waits, 0.99))
    finally:
        await probes.end()
    ratio = statistics.median(beside) / statistics.median(alone)
    flooded = floods / (PHASES * seconds)
    return [
        Figure(
            "ack p99 of quiet agents beside one that floods, against without",
            f"{ratio:.1f} x", "< 2 x", ratio < 2 if floods else None,
            f"{QUIET} agents, {asked} batches; {statistics.median(alone) * 1000:.1f} ms without, "
            f"{statistics.median(beside) * 1000:.1f} ms beside {flooded:.0f} batches/s of "
            f"{FLOOD_BYTES // 1000} kB",
        )
    ]  # fmt: skip


async def _served(process: IngestProcess) -> None:
    """Return once ingest answers."""
    async with asyncio.timeout(30):
        while True:
            agent = HandAgent(process.home, process.port, "first")
            with contextlib.suppress(Exception):  # Not there yet.
                agent.connect()
                await agent.hello()
                await agent.__aexit__()
                return
            await agent.__aexit__()
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _flood(process: IngestProcess) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "bench.fair", str(process.home), str(process.port)]
    before = _frames(process)
    flooder = subprocess.Popen(command)  # noqa: ASYNC220 - a moment, with nothing else going on
    try:
        async with asyncio.timeout(30):
            while _frames(process) < before + 3 * BATCH_WINDOW:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        yield
        if flooder.poll() is not None:
            raise RuntimeError(f"the flood ended by itself with {flooder.returncode}")
    finally:
        flooder.kill()
        flooder.wait()


def _frames(process: IngestProcess) -> int:
    """How many frames the log has had."""
    return open_reader(Home(process.home)).durable_position()


async def flood(home: Path, port: int) -> None:
    """Keep the window full of large batches."""
    body = payload(os.urandom(FLOOD_BYTES).hex())  # Half as long when compressed.
    async with HandAgent(home, port, "flood") as agent:
        await agent.hello()
        sent = acknowledged = 0
        while True:
            while sent < acknowledged + BATCH_WINDOW:
                sent += 1
                await agent.send(sent, body)
            answer = await agent.answer(30)
            if not isinstance(answer, int):
                raise RuntimeError(f"the flood is answered {answer!r}")
            acknowledged = answer


if __name__ == "__main__":
    asyncio.run(flood(Path(sys.argv[1]), int(sys.argv[2])))
