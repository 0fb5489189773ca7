"""A writer that never waits, in a process of its own: nothing lost, nothing twice."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail.settings import Seconds
from opentrail_agent.capture.following import Capture
from opentrail_agent.capture.settings import CaptureSettings, WatchSettings
from opentrail_agent.metrics import Metrics

from .events import ACCOUNT
from .spools import MemorySpool

WRITER = """
import os, random, sys
path, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
rotations = 0
file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(count):
    line = b'{"eventTime":"2026-11-24T10:00:00Z","n":%d,"fill":"%s"}\\n' % (
        number, b"x" * chance.randrange(3000))
    cut = chance.randrange(len(line))
    os.write(file, line[:cut])
    os.write(file, line[cut:])
    if chance.random() < 0.002:
        rotations += 1
        os.rename(path, "%s.%d" % (path, rotations))
        if chance.random() < 0.5:  # A writer that goes on with the old file for a while.
            os.write(file, b'{"eventTime":"2026-11-24T10:00:00Z","n":%d}\\n' % (count + rotations))
        os.close(file)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print(rotations)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_busy_writer_that_rotates_loses_nothing(tmp_path: Path, seed: int) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    path = logs / "a.json"
    clock, spool, stop = SystemClock(), MemorySpool(), asyncio.Event()
    watch = WatchSettings(path=str(logs / "*"), account=ACCOUNT, region="eu-west-1")
    settings = CaptureSettings(watch=[watch], poll=Seconds(0.005), poll_idle=Seconds(0.02))
    metrics = Metrics(clock)
    capture = Capture(settings, tmp_path / "state", clock, spool.append, metrics)
    running = asyncio.create_task(capture.run(stop))
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), "20000", str(seed), stdout=subprocess.PIPE
    )
    told, _ = await writer.communicate()
    written = sum(each.read_bytes().count(b"\n") for each in logs.iterdir())
    async with asyncio.timeout(30):
        while len(spool.ids) < written:  # noqa: ASYNC110  (what is awaited is on disk)
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    stop.set()
    await running
    assert int(told) > 10
    assert len(spool.ids) == len(set(spool.ids)) == written >= 20_000
    assert metrics.value("opentrail_agent_refused_total") == 0
    assert metrics.value("opentrail_agent_truncations_total") == 0
    assert metrics.value("opentrail_agent_lost_bytes_total") == 0
