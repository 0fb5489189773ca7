"""Five hundred agents at once: after ingest died they are all served again within half a minute.

Each has a certificate, a connection and a stream of its own, and comes back as the shipper does:
at once, then after a jittered wait that doubles. They live in one event loop here, so the time it
takes counts both sides of every handshake.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from opentrail_aggregator.home import Home
from opentrail_aggregator.wal.disk_reader import open_reader

from .agents import HandAgent, batches, payload
from .process import IngestProcess

AGENTS = 500
SETTLED_SECONDS = 30.0
_RETRY_SECONDS = 0.25
_RETRY_MAX_SECONDS = 5.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[IngestProcess]:
    each = IngestProcess(tmp_path)
    yield each
    each.destroy()


async def deliver(agent: HandAgent, sequence: int, body: bytes) -> int:
    """Ship batch `sequence` until it is acknowledged, through any number of tries; how many."""
    tries, wait = 0, _RETRY_SECONDS
    while True:
        tries += 1
        try:
            agent.connect()
            welcome = await agent.hello(next_sequence=sequence)
            if welcome.acknowledged_through < sequence:
                await agent.send(sequence, body)
                await agent.acknowledged(sequence, 30)
            return tries
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, AttributeError, TimeoutError):
            await agent.hang_up()
        await asyncio.sleep(random.uniform(0, wait))
        wait = min(2 * wait, _RETRY_MAX_SECONDS)


@pytest.mark.long
async def test_five_hundred_agents_that_come_back_at_once_are_all_served_within_half_a_minute(
    process: IngestProcess,
) -> None:
    process.start()
    agents = [HandAgent(process.home, process.port, f"web-{n}") for n in range(AGENTS)]
    body = payload("{}", 3)
    try:
        async with asyncio.timeout(120):
            await asyncio.gather(*(deliver(agent, 1, body) for agent in agents))
        process.send_signal(signal.SIGKILL)
        while not process.is_dead():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)
        for agent in agents:
            await agent.hang_up()
        process.start()
        began = time.monotonic()
        tries = await asyncio.gather(*(deliver(agent, 2, body) for agent in agents))
        took = time.monotonic() - began
    finally:
        await asyncio.gather(*(agent.__aexit__() for agent in agents))
    assert took <= SETTLED_SECONDS, f"{took:.1f} s, tries: {Counter(tries)}"
    assert process.stop() == 0
    # Nothing was lost or doubled by the crowd: two batches of each, whatever was repeated.
    found = Counter(batches(process.home))
    assert found == Counter((f"web-{n}", sequence) for n in range(AGENTS) for sequence in (1, 2))
    reader = open_reader(Home(process.home))
    assert reader.received_through(reader.durable_position()) == (2 * 3 * AGENTS, 0)
