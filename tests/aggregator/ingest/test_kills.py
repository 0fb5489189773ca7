"""Ingest is killed in every step, again and again; what it acknowledged is there, and once.

An agent ships numbered batches of one event and believes only acknowledgements. In the end the log
has received exactly as many events as there are batches: a lost or doubled one would show.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.ledger_store import LedgerStore
from opentrail_aggregator.wal.disk_reader import DiskLogReader, open_reader

from .agents import HandAgent, entries, payload
from .process import IngestProcess

BATCHES = 90
DEATHS = 3
PACE_SECONDS = 0.01
"""Slow enough for the housekeeping between two segments."""
OFTEN = ["wal.written:9", "wal.synced:9", "wal.published:9", "wal.sealing:2", "wal.dropping"]
RARELY = [
    "ingest.received:9", "wal.created:2", "wal.rotated:2", "wal.ledger_saving", "wal.dropped",
    "wal.ledger_saved", "wal.opening", "wal.recovered", "wal.catching_up", "wal.written",
]  # fmt: skip
TORN = ["wal.cutting", "wal.cut"]
MISPLACED = ["wal.set_aside"]
REFUSED_BY_THE_DISK = ["wal.reopening"]
FILE_LIMIT_BYTES = 300_000
"""The disk's refusal: beyond it the kernel writes no file of the process."""
POINTS = [
    *(pytest.param(point, marks=pytest.mark.slow) for point in OFTEN),
    *(
        pytest.param(point, marks=pytest.mark.long)
        for point in RARELY + TORN + MISPLACED + REFUSED_BY_THE_DISK
    ),
]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[IngestProcess]:
    each = IngestProcess(tmp_path)
    yield each
    each.destroy()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)


class Shipper:
    """Sends numbered batches until all are acknowledged, through any number of deaths."""

    def __init__(self, process: IngestProcess, spoil: Callable[[Path], None] | None = None) -> None:
        self._process = process
        self._spoil = spoil or tear_the_tail
        self._agent = HandAgent(process.home, process.port)
        self._bodies = {n: payload(os.urandom(100_000).hex()) for n in range(1, BATCHES + 1)}
        self.acknowledged = 0
        self._is_connected = False

    def _is_done(self) -> bool:
        return self.acknowledged == BATCHES and self._is_connected

    async def ship(self, crash_at: str, file_limit: int | None = None) -> None:
        """Ship everything; `crash_at` and `file_limit` hold until the process died DEATHS times."""
        process = self._process
        async with asyncio.timeout(60), self._agent:
            process.start(crash_at)
            process.limit_files(file_limit)
            while not self._is_done() or (crash_at and process.deaths < DEATHS):
                try:
                    await self._connection()
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await asyncio.sleep(0.02)
                if process.is_dead():
                    self._spoil(process.home)
                    self._is_connected = False
                    is_over = process.deaths >= DEATHS
                    process.start("" if is_over else crash_at)
                    process.limit_files(None if is_over else file_limit)
                elif self.acknowledged == BATCHES:
                    await asyncio.sleep(0.05)

    async def _connection(self) -> None:
        agent = self._agent
        agent.connect()
        welcome = await agent.hello(next_sequence=self.acknowledged + 1)
        assert welcome.acknowledged_through >= self.acknowledged, "an acknowledged batch is lost"
        self._is_connected = True
        self.acknowledged = welcome.acknowledged_through
        sent = self.acknowledged
        while self.acknowledged < BATCHES:
            while sent < min(self.acknowledged + 4, BATCHES):
                sent += 1
                await agent.send(sent, self._bodies[sent])
                await asyncio.sleep(PACE_SECONDS)
            answer = await agent.answer()
            if answer is None:
                return
            assert isinstance(answer, int), answer
            assert answer >= self.acknowledged
            self.acknowledged = answer


def segments_of(home: Path) -> list[Path]:
    return sorted((home / "log").glob("*.seg"))


def tear_the_tail(home: Path) -> None:
    """As a write cut short leaves it: the beginning of a frame."""
    segments = segments_of(home)
    if segments:
        with segments[-1].open("ab") as file:
            file.write(os.urandom(33))


def misplace_a_segment(home: Path) -> None:
    """As a careless restore leaves it: a file of the log under another one's name."""
    segments = segments_of(home)
    wrong = int(segments[-1].stem) + 1000 + len(list((home / "log").glob("*.broken")))
    shutil.copy(segments[0], segments[0].with_name(f"{wrong:020d}.seg"))


def assert_everything_is_there_once(process: IngestProcess) -> None:
    assert process.stop() == 0
    reader = open_reader(Home(process.home))
    assert reader.received_through(reader.durable_position()) == (BATCHES, 0)
    store = LedgerStore(process.home / "log")
    (numbering,) = store.load(DiskLogReader(process.home / "log").log_id)
    assert (numbering.begins_at, numbering.last, numbering.missing) == (1, BATCHES, [])


@pytest.mark.parametrize("point", POINTS)
async def test_dying_at_a_point_again_and_again_costs_nothing(
    process: IngestProcess, point: str
) -> None:
    spoil = misplace_a_segment if point in MISPLACED else tear_the_tail
    if point in TORN + MISPLACED:
        # Something has to lie there before it can be spoilt.
        process.start()
        await until(lambda: any(path.stat().st_size for path in segments_of(process.home)))
        process.send_signal(signal.SIGKILL)
        await until(process.is_dead)
        process.deaths = 0
        spoil(process.home)
    limit = FILE_LIMIT_BYTES if point in REFUSED_BY_THE_DISK else None
    await Shipper(process, spoil).ship(point, limit)
    assert process.deaths >= DEATHS
    assert_everything_is_there_once(process)
    aside = list((process.home / "log").glob("*.seg.broken"))
    assert len(aside) == (DEATHS + 1 if point in MISPLACED else 0)  # Kept, not wiped.


@pytest.mark.slow
async def test_a_kill_at_any_moment_costs_nothing(process: IngestProcess) -> None:
    shipper = Shipper(process)
    shipping = asyncio.create_task(shipper.ship(""))
    for number in range(5):
        before = shipper.acknowledged
        for _ in range(500):
            if shipper.acknowledged > before + 8 or shipping.done():
                break
            await asyncio.sleep(0.005 + number / 1000)
        if not shipping.done():
            process.send_signal(signal.SIGKILL)
    await shipping
    assert process.deaths >= 2
    assert_everything_is_there_once(process)


@pytest.mark.slow
async def test_a_stopped_process_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGSTOP in full flow, then SIGCONT: the same connection goes on."""
    process = IngestProcess(tmp_path, readers="nobody")
    try:
        shipper = Shipper(process)
        shipping = asyncio.create_task(shipper.ship(""))
        await until(lambda: shipper.acknowledged >= 20)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.5)
        frozen = shipper.acknowledged
        await asyncio.sleep(0.2)
        assert shipper.acknowledged == frozen < BATCHES
        process.send_signal(signal.SIGCONT)
        await shipping
        assert process.stop() == 0
    finally:
        process.destroy()
    numbers = [entry.sequence for entry in entries(tmp_path) if entry.is_batch]
    assert numbers == list(range(1, BATCHES + 1))


@pytest.mark.slow
async def test_a_second_ingest_waits_for_the_lock_and_says_who_holds_it(
    process: IngestProcess,
) -> None:
    shipper = Shipper(process)
    await shipper.ship("")
    second = IngestProcess(process.home)
    second.start()
    await asyncio.sleep(1.5)
    second.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGKILL)
    async with HandAgent(process.home, second.port) as agent:
        for _ in range(100):
            try:
                agent.connect()
                welcome = await agent.hello()
                break
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await asyncio.sleep(0.1)
        assert welcome.log_id
    second.destroy()
