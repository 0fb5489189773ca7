"""Capture in its event loop: backpressure, stops, failures of the spool and of the disk."""

import asyncio
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail.files import DISK, DiskFiles
from opentrail.settings import Seconds
from opentrail_agent.capture.following import UNDER_WAY_MAX, Capture
from opentrail_agent.capture.settings import CaptureSettings, WatchSettings
from opentrail_agent.metrics import Metrics

from .events import line, lines
from .spools import MemorySpool


def capture(tmp_path: Path, spool: MemorySpool, files: DiskFiles | None = None) -> Capture:
    clock = SystemClock()
    settings = CaptureSettings(
        watch=[WatchSettings(path=str(tmp_path / "logs" / "*"))],
        poll=Seconds(0.01),
        poll_idle=Seconds(0.02),
        linger=Seconds(0.01),
    )
    (tmp_path / "logs").mkdir(exist_ok=True)
    return Capture(
        settings, tmp_path / "state", clock, spool.append, Metrics(clock), files=files or DISK
    )


async def until(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is awaited is on disk)
            await asyncio.sleep(0.005)


async def test_lines_reach_the_spool_while_it_runs(tmp_path: Path) -> None:
    spool, stop = MemorySpool(), asyncio.Event()
    follow = capture(tmp_path, spool)
    running = asyncio.create_task(follow.run(stop))
    for number in range(5):
        with (tmp_path / "logs" / "a.json").open("ab") as file:
            file.write(lines(number))
        await until(lambda: len(spool.ids) == number + 1)  # noqa: B023
    await until(lambda: follow.sources_report()[0]["position"] == len(lines(*range(5))))
    assert follow.report().reported_at_ns > 0
    stop.set()
    await asyncio.wait_for(running, 2)
    again = asyncio.Event()
    running = asyncio.create_task(capture(tmp_path, spool).run(again))
    await asyncio.sleep(0.2)
    again.set()
    await running
    assert len(spool.ids) == 5


async def test_a_spool_that_waits_stops_the_reading_and_a_stop_ends_the_waiting(
    tmp_path: Path,
) -> None:
    spool, stop = MemorySpool(), asyncio.Event()
    spool.may_append.clear()
    follow = capture(tmp_path, spool)
    path = tmp_path / "logs" / "a.json"
    path.write_bytes(b"".join(line(n, fill="x" * 5000) + b"\n" for n in range(2000)))
    running = asyncio.create_task(follow.run(stop))
    await until(lambda: spool.waiting == UNDER_WAY_MAX)
    await asyncio.sleep(0.2)
    held = sum(each.place.offset for each in follow._harvest._census.followers.values())
    assert held < UNDER_WAY_MAX * 1_000_000 + 100_000
    assert follow.report().reported_at_ns == 0
    stop.set()
    await asyncio.wait_for(running, 2)
    assert spool.ids == []
    spool.may_append.set()
    again = asyncio.Event()
    running = asyncio.create_task(capture(tmp_path, spool).run(again))
    await until(lambda: len(spool.ids) == 2000)
    again.set()
    await running
    assert len(set(spool.ids)) == 2000


async def test_an_error_of_the_spool_ends_the_run_with_it(tmp_path: Path) -> None:
    spool = MemorySpool()
    spool.fail_after = 0
    follow = capture(tmp_path, spool)
    (tmp_path / "logs" / "a.json").write_bytes(lines(1))
    with pytest.raises(OSError, match="no space"):
        await asyncio.wait_for(follow.run(asyncio.Event()), 5)


class FullDisk(DiskFiles):
    is_full = True

    def replace(self, path: Path, content: bytes) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().replace(path, content)


async def test_nothing_is_spooled_while_its_generation_cannot_be_written(tmp_path: Path) -> None:
    spool, stop, disk = MemorySpool(), asyncio.Event(), FullDisk()
    follow = capture(tmp_path, spool, disk)
    (tmp_path / "logs" / "a.json").write_bytes(lines(1))
    running = asyncio.create_task(follow.run(stop))
    await until(lambda: "capture.positions" in follow._metrics.problems())
    assert spool.ids == []
    disk.is_full = False
    await until(lambda: len(spool.ids) == 1)
    await until(lambda: not follow._metrics.problems())
    stop.set()
    await running


async def test_a_cancelled_run_lets_go_of_its_files(tmp_path: Path) -> None:
    spool = MemorySpool()
    follow = capture(tmp_path, spool)
    (tmp_path / "logs" / "a.json").write_bytes(lines(1))
    running = asyncio.create_task(follow.run(asyncio.Event()))
    await until(lambda: len(spool.ids) == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not [each for each in follow._harvest._census.followers.values() if each.is_open]
