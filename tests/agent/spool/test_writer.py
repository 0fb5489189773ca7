"""The spool on an event loop: groups, waits instead of dropping, and outlives a failing disk."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail.errors import LimitError
from opentrail.files import DiskFiles
from opentrail.limits import BATCH_MAX_BYTES
from opentrail_agent.metrics import Metrics
from opentrail_agent.spool.room import Room
from opentrail_agent.spool.spool import Spool
from opentrail_agent.spool.writer import SpoolStoppedError, SpoolWriter
from tests.fakes.disk import SimulatedDisk

UNLIMITED = Room(1 << 40, 0, lambda: 1 << 50)
Make = Callable[..., SpoolWriter]


class SickDisk(DiskFiles):
    """A real disk whose appends can be made to fail."""

    def __init__(self) -> None:
        self.error: OSError | None = None

    def open_append(self, path: Path):  # type: ignore[no-untyped-def]
        if self.error is not None:
            raise self.error
        file = super().open_append(path)
        sync = file.datasync

        def datasync() -> None:
            if self.error is not None:
                raise self.error
            sync()

        file.datasync = datasync  # type: ignore[method-assign]
        return file


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[SpoolWriter] = []
    clock = SystemClock()

    def build(
        room: Room = UNLIMITED, files: DiskFiles | SimulatedDisk | None = None
    ) -> SpoolWriter:
        spool = Spool(tmp_path / "spool", clock, files or DiskFiles(), segment_bytes=1 << 20)
        made.append(SpoolWriter(spool, room, clock, Metrics(clock)))
        return made[-1]

    yield build
    for writer in made:
        await writer.close()


async def waits(awaitable: Awaitable[object]) -> bool:
    done, _ = await asyncio.wait([asyncio.ensure_future(awaitable)], timeout=0.2)
    return not done


async def test_a_batch_has_its_number_when_it_is_durable(make: Make, tmp_path: Path) -> None:
    writer = make()
    assert await writer.append(b"one", 1, 0) == 1
    assert b"one" in next((tmp_path / "spool" / "segments").iterdir()).read_bytes()
    assert [each.payload for each in await writer.read(0, 1 << 20)] == [b"one"]


async def test_batches_that_wait_together_share_a_commit(make: Make) -> None:
    writer = make()
    numbers = await asyncio.gather(*(writer.append(b"x" * 100, 1, 0) for _ in range(200)))
    assert sorted(numbers) == list(range(1, 201))
    assert writer._metrics.value("opentrail_agent_spool_commits_total") < 50


async def test_growth_is_told(make: Make) -> None:
    writer = make()
    told = asyncio.Event()
    writer.on_growth(told.set)
    await writer.append(b"one", 1, 0)
    async with asyncio.timeout(1):
        await told.wait()
    assert writer.last_sequence == 1


async def test_a_batch_beyond_the_limit_is_refused_before_it_is_written(make: Make) -> None:
    writer = make()
    with pytest.raises(LimitError, match="BATCH_MAX_BYTES"):
        await writer.append(bytes(BATCH_MAX_BYTES + 1), 1, 0)
    assert writer.last_sequence == 0


async def test_a_full_spool_makes_its_source_wait_and_drops_nothing(make: Make) -> None:
    writer = make(Room(4 << 20, 0, lambda: 1 << 50))
    for _ in range(3):
        await writer.append(bytes(1_000_000), 1, 0)
    late = asyncio.ensure_future(writer.append(bytes(1_200_000), 1, 0))
    assert await waits(asyncio.shield(late))
    assert "spool_full" in writer._metrics.problems()
    writer.acknowledge(3)
    async with asyncio.timeout(3):
        assert await late == 4
    assert writer._metrics.problems() == {}


async def test_a_disk_without_reserve_makes_its_source_wait_until_others_free_it(
    make: Make,
) -> None:
    free = [0]
    writer = make(Room(1 << 40, 1000, lambda: free[0]))
    late = asyncio.ensure_future(writer.append(b"one", 1, 0))
    assert await waits(asyncio.shield(late))
    free[0] = 1 << 40
    async with asyncio.timeout(3):
        assert await late == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
async def test_a_failing_disk_is_waited_for_and_nothing_is_promised_meanwhile(
    make: Make, number: int
) -> None:
    disk = SickDisk()
    writer = make(files=disk)
    assert await writer.append(b"one", 1, 0) == 1
    disk.error = OSError(number, "the disk is sick")
    late = [asyncio.ensure_future(writer.append(b"late %d" % n, 1, 0)) for n in range(3)]
    assert await waits(asyncio.shield(late[0]))
    assert "the disk is sick" in writer._metrics.problems()["spool_disk"]
    assert writer.last_sequence == 1
    disk.error = None
    async with asyncio.timeout(5):
        assert sorted([await each for each in late]) == [2, 3, 4]
    assert writer._metrics.problems() == {}
    payloads = [each.payload for each in await writer.read(0, 1 << 20)]
    assert payloads == [b"one", b"late 0", b"late 1", b"late 2"]


async def test_closing_does_not_wait_for_a_sick_disk(make: Make) -> None:
    disk = SickDisk()
    writer = make(files=disk)
    disk.error = OSError(errno.EIO, "the disk is sick")
    late = asyncio.ensure_future(writer.append(b"late", 1, 0))
    assert await waits(asyncio.shield(late))
    async with asyncio.timeout(4):
        await writer.close()
    with pytest.raises(SpoolStoppedError):
        await late


async def test_acknowledgements_are_durable_after_a_moment_and_at_a_close(make: Make) -> None:
    writer = make()
    for number in range(1, 30):
        await writer.append(b"x", 1, 0)
        writer.acknowledge(number)
    assert writer.standing.acknowledged_through == 29
    await writer.close()
    assert make().standing.acknowledged_through == 29


async def test_a_new_epoch_keeps_what_is_unacknowledged(make: Make) -> None:
    writer = make()
    for _ in range(5):
        await writer.append(b"x", 1, 0)
    writer.acknowledge(2)
    epoch = writer.standing.epoch
    await writer.begin_epoch(after_sequence=2)
    assert writer.standing.epoch != epoch
    assert [each.sequence for each in await writer.read(0, 1 << 20)] == [1, 2, 3]
    assert (writer.last_sequence, await writer.append(b"y", 1, 0)) == (3, 4)


async def test_a_thread_that_dies_is_told_to_the_stage_and_to_all_who_wait(make: Make) -> None:
    class BrokenDisk(DiskFiles):
        def open_append(self, path: Path):  # type: ignore[no-untyped-def]
            file = super().open_append(path)
            file.write = None  # type: ignore[method-assign,assignment]
            return file

    writer = make()
    await writer.close()
    writer = make(files=BrokenDisk())
    running = asyncio.ensure_future(writer.run())
    with pytest.raises(SpoolStoppedError, match="failed"):
        await writer.append(b"x", 1, 0)
    with pytest.raises(TypeError):
        await running
    with pytest.raises(SpoolStoppedError):
        await writer.append(b"x", 1, 0)
