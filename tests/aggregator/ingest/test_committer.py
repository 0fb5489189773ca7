"""A flood waits for itself: what others send meanwhile is in the next group the log gets."""

import asyncio
import threading

import pytest

from opentrail_aggregator.ingest.committer import AGENT_MAX_BYTES, GROUPS_MAX, Committer
from opentrail_aggregator.wal.writer import LogThread
from tests.aggregator.wal.logs import frame, open_log
from tests.fakes.disk import SimulatedDisk

QUIET = 5


class SteppedDisk(SimulatedDisk):
    """Counts syncs; while it is held, each waits for a step."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.is_held = False
        self.is_waiting = threading.Event()
        """A sync waits for its step."""
        self.steps = threading.Semaphore(0)

    def _sync_file(self, file: object) -> None:
        self.syncs += 1
        if self.is_held and not self.steps.acquire(blocking=False):
            self.is_waiting.set()
            assert self.steps.acquire(timeout=20)
        super()._sync_file(file)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("queued", "size"), [(60, 100_000), (400, 100_000), (5_000, 1_000), (40, AGENT_MAX_BYTES + 1)]
)
async def test_a_quiet_agent_waits_for_two_shares_of_a_flood_however_much_it_has_queued(
    queued: int, size: int
) -> None:
    disk = SteppedDisk()
    thread = LogThread(open_log(disk, segment_bytes=1 << 28))
    committer = Committer(thread)
    disk.is_held = True
    flood = [
        asyncio.ensure_future(committer.append("flood", frame(n, size))) for n in range(queued)
    ]
    # One frame each went into the first two groups. Behind them both groups are as full as they
    # get, and the disk is at the first of these.
    assert await asyncio.to_thread(disk.is_waiting.wait, 20)
    disk.is_waiting.clear()
    disk.steps.release(2)
    await asyncio.wait_for(flood[1], 20)
    assert await asyncio.to_thread(disk.is_waiting.wait, 20)
    await asyncio.sleep(0.01)  # What is durable by now has been told.
    begun = sum(each.done() for each in flood)
    quiet = [asyncio.ensure_future(committer.append(f"quiet-{n}", frame(n))) for n in range(QUIET)]
    await asyncio.sleep(0)
    disk.steps.release(10_000)
    positions = await asyncio.gather(*quiet)
    share = max(1, AGENT_MAX_BYTES // size)
    first = 1  # That of the flood may have asked before them.
    assert max(positions) <= begun + GROUPS_MAX * share + first + QUIET
    assert max(await asyncio.gather(*flood)) == queued + QUIET
    await asyncio.to_thread(thread.close)


async def test_what_a_lone_agent_queued_is_written_in_groups_and_not_one_by_one() -> None:
    disk = SteppedDisk()
    thread = LogThread(open_log(disk, segment_bytes=1 << 28))
    committer = Committer(thread)
    before = disk.syncs
    await asyncio.gather(*(committer.append("lone", frame(n, 10_000)) for n in range(500)))
    assert disk.syncs - before <= 500 * 10_200 / AGENT_MAX_BYTES + 4
    await asyncio.to_thread(thread.close)
