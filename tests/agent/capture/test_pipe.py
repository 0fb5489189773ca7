"""What comes through a pipe is spooled, and its one weakness is said at the start."""

import asyncio
import os
from pathlib import Path

import pytest

from opentrail_agent.pipe import PipeResult, run_pipe

from .events import line, lines, records_file
from .spools import MemorySpool


async def piped(spool: MemorySpool, data: bytes, notices: list[str] | None = None) -> PipeResult:
    reading, writing = os.pipe()
    task = asyncio.create_task(
        run_pipe(reading, spool.append, asyncio.Event(), notify=(notices or []).append)
    )
    for at in range(0, len(data), 7000):
        os.write(writing, data[at : at + 7000])
        await asyncio.sleep(0)
    os.close(writing)
    result = await task
    os.close(reading)
    return result


@pytest.mark.parametrize("data", [lines(1, 2, 3), records_file(1, 2, 3), lines(1, 2) + line(3)])
async def test_every_layout_comes_through(data: bytes) -> None:
    spool = MemorySpool()
    result = await piped(spool, data)
    assert [int(each[-12:]) for each in spool.ids] == [1, 2, 3]
    assert result == PipeResult(3, 0, len(data), True)


async def test_it_says_at_its_start_that_repeating_doubles() -> None:
    notices: list[str] = []
    reading, writing = os.pipe()
    os.close(writing)
    await run_pipe(reading, MemorySpool().append, asyncio.Event(), notify=notices.append)
    os.close(reading)
    assert len(notices) == 1
    assert "doubles" in notices[0]


async def test_each_run_makes_new_events_of_records_without_an_id() -> None:
    spool = MemorySpool()
    for _ in range(2):
        await piped(spool, line(1, eventID=None) * 2)
    assert len(set(spool.ids)) == 4


async def test_a_stop_spools_what_was_read(tmp_path: Path) -> None:
    spool, stop = MemorySpool(), asyncio.Event()
    reading, writing = os.pipe()
    task = asyncio.create_task(run_pipe(reading, spool.append, stop, notify=lambda text: None))
    os.write(writing, lines(1) + b"junk")
    while not spool.payloads:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    stop.set()
    result = await task
    assert (result.events, result.is_complete) == (1, False)
    os.close(reading)
    os.close(writing)


async def test_events_do_not_wait_for_more_to_come() -> None:
    spool = MemorySpool()
    reading, writing = os.pipe()
    task = asyncio.create_task(
        run_pipe(reading, spool.append, asyncio.Event(), notify=lambda text: None)
    )
    for number in range(3):
        os.write(writing, lines(number))
        while len(spool.ids) <= number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    os.close(writing)
    await task
    os.close(reading)
