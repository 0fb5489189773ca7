"""Both edges of what is wrong, at the role that tells it: told, and over with its cause.

What the whole system shows of this is in `tests/system/test_health_edges.py`; which test shows
which problem is listed in `tests/problems.py`. Fakes only inject faults.
"""

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opentrail.clock import SystemClock
from opentrail.segment.frame import Damage
from opentrail.v1.ingest_pb2 import Hello
from opentrail_aggregator.archive.destination import DestinationError
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.consolidate.alarms import Alarms
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.server import IngestServer
from opentrail_aggregator.ingest.settings import Grant
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.indexer import OpenSearchIndexer
from opentrail_aggregator.quarantine.item import Item
from tests.aggregator.archive.rig import NOON, Rig, event
from tests.aggregator.consolidate.world import World, line
from tests.aggregator.index.harness import Archive
from tests.aggregator.index.harness import Room as IndexRoom
from tests.aggregator.ingest.agents import payload, settings
from tests.aggregator.ingest.test_reception import Desk, Said, peer
from tests.aggregator.opensearch.harness import Room as OpenSearchRoom
from tests.fakes.bulk_server import BulkServer
from tests.fakes.clock import FakeClock

CLOCK = SystemClock()
NO_MAPPING = (400, {"type": "mapper_parsing_exception", "reason": "not this one"})


def keys(metrics: Metrics) -> set[str]:
    return {each["key"] for each in metrics.snapshot()["problems"]}


# Ingest.


@contextlib.asynccontextmanager
async def opened(home: Path) -> AsyncIterator[IngestServer]:
    """An ingest with its log open, whose house is kept by the test."""
    server = IngestServer(Home(home), settings(home), CLOCK, Metrics("ingest", CLOCK))
    assert await server._open(asyncio.Event())
    try:
        yield server
    finally:
        server._books.close()


@contextlib.contextmanager
def no_room_for(path: Path) -> Iterator[None]:
    """Every file of this process may grow only a little longer than `path` is now."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def until(is_so: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - the log's thread makes it so
            await asyncio.sleep(0.005)


class Impatient(IngestServer):
    """Tries again soon."""

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        await super()._pause(stop, seconds / 100)


async def test_a_log_that_cannot_be_opened_is_told_until_it_can(tmp_path: Path) -> None:
    """log.closed"""
    lineage = tmp_path / "log" / "lineage.json"
    lineage.parent.mkdir(parents=True)
    lineage.mkdir()
    server = Impatient(Home(tmp_path), settings(tmp_path), CLOCK, Metrics("ingest", CLOCK))
    opening = asyncio.create_task(server._open(asyncio.Event()))
    await until(lambda: "log.closed" in keys(server.metrics))
    lineage.rmdir()
    assert await opening
    assert "log.closed" not in keys(server.metrics)
    server._books.close()


async def test_a_disk_that_refuses_a_write_is_told_until_it_takes_them(tmp_path: Path) -> None:
    """log.failed, and ingest.grants: what changed waits for the log."""
    async with opened(tmp_path) as server:
        (segment,) = server._home.log.glob("*.seg")
        server._identities._configured = (Grant(agent="new-*"),)
        with no_room_for(segment):
            await server._look_at_identities()
            server._resume()
            assert {"log.failed", "ingest.grants"} <= keys(server.metrics)

        def is_open() -> bool:
            server._resume()
            return "log.failed" not in keys(server.metrics)

        await until(is_open)
        await server._look_at_identities()
        assert "ingest.grants" not in keys(server.metrics)
        assert server._identities.grants == (Grant(agent="new-*"),)


async def test_a_disk_at_its_reserve_and_a_reader_that_stands_are_told(tmp_path: Path) -> None:
    """log.full, log.held"""
    async with opened(tmp_path) as server:
        room, holdup = server._room, server._holdup
        room._free, room._looked_at = lambda: -1, 0.0
        size = server._log.max_bytes
        for second in (0, 60):
            holdup.look(second, 0, {"archive": 1}, 9, size)
        server._look_at_room()
        assert {"log.full", "log.held"} <= keys(server.metrics)
        room._free, room._looked_at = lambda: 1 << 40, 0.0
        holdup.look(61, 0, {"archive": 2}, 9, size)
        server._look_at_room()
        assert keys(server.metrics) == set()


async def test_segments_that_cannot_be_released_are_told_until_they_can(tmp_path: Path) -> None:
    """log.house: a cursor that cannot be read says nothing about what may go."""
    async with opened(tmp_path) as server:
        books = server._books
        whole, books.cursors = books.cursors, Unreadable()  # type: ignore[assignment]
        server._tidy_log(may_release=True)
        assert keys(server.metrics) == {"log.house"}
        books.cursors = whole
        server._tidy_log(may_release=True)
        assert keys(server.metrics) == set()


class Unreadable:
    """Cursors on a disk that fails."""

    def read(self, name: str) -> Any:
        raise OSError(5, "Input/output error", name)


async def test_a_damaged_log_is_told_until_ingest_starts_without_finding_any(
    tmp_path: Path,
) -> None:
    """log.damage is a fact of opening: what was set aside is not found again."""
    async with opened(tmp_path) as server:
        (segment,) = server._home.log.glob("*.seg")
    foreign = segment.with_name(f"{int(segment.stem) + 50:0{len(segment.stem)}d}.seg")
    foreign.write_bytes(segment.read_bytes())
    async with opened(tmp_path) as server:
        publish(server)
        assert "log.damage" in keys(server.metrics)
    async with opened(tmp_path) as server:
        publish(server)
        assert "log.damage" not in keys(server.metrics)


def publish(server: IngestServer) -> None:
    server._home.run.mkdir(parents=True, exist_ok=True)
    server._publish()


async def test_what_ingest_notices_of_machines_is_told_for_ten_minutes() -> None:
    """ingest.fork, ingest.twins, ingest.cloned, ingest.missing"""
    desk = Desk()

    def greet(agent: str, epoch: int, host: str = "here", **more: Any) -> Any:
        hello = Hello(
            protocol=1, agent=agent, epoch=bytes([epoch]) * 16, host=host,
            **{"next_sequence": 1, **more},
        )  # fmt: skip
        return desk.reception.greet(hello, peer(agent), Said())

    greet("twins", 1)
    greet("twins", 2, host="there")
    for _ in range(5):
        greet("cloned", 3)
    desk.send(greet("missing", 4), 1)
    forked = greet("fork", 5)
    desk.send(forked, 1)
    await desk.settle()
    greet("missing", 4, next_sequence=9, bound_log_id=desk.log.log_id)
    desk.send(forked, 1, payload("another content"))
    told = {f"ingest.{each}.{each}" for each in ("twins", "cloned", "missing", "fork")}
    assert keys(desk.metrics) == told
    desk.clock.advance(599)
    desk.reception.expire_alarms()
    assert keys(desk.metrics) == told
    desk.clock.advance(2)
    desk.reception.expire_alarms()
    assert keys(desk.metrics) == set()
    desk.thread.close()


# Consolidate.


@pytest.mark.parametrize("key", ["alarm.conflict", "alarm.future", "alarm.outside_grant"])
def test_what_went_to_quarantine_is_told_until_it_was_quiet_for_long(key: str) -> None:
    clock = FakeClock()
    metrics = Metrics("consolidate", clock)
    alarms = Alarms(metrics, clock, 900)
    alarms.raise_for(Item(id="1-0", position=1, ordinal=0, reason=key.removeprefix("alarm.")))
    assert keys(metrics) == {key}
    clock.advance(899)
    alarms.fade()
    assert keys(metrics) == {key}
    clock.advance(2)
    alarms.fade()
    assert keys(metrics) == set()


def test_what_consolidate_survived_is_told_until_its_next_start(tmp_path: Path) -> None:
    """consolidate.damaged, consolidate.unopened, consolidate.found"""
    world = World(tmp_path)
    world.send([line("a")])
    world.run()
    world.restart()
    (segment,) = world.home.verdicts.glob("*.seg")
    foreign = segment.with_name(f"{int(segment.stem) + 50:0{len(segment.stem)}d}.seg")
    foreign.write_bytes(segment.read_bytes())
    world.send([line("b")], account="123123123123")
    world.send_payload(b"", 2, 1)
    world.send([line("c")])
    spoil(world, b"123123123123")
    world.run()
    told = {"consolidate.damaged", "consolidate.unopened", "consolidate.found"}
    assert told <= set(world.problems())
    world.metrics = Metrics("consolidate", world.clock)
    world.restart()
    world.send([line("d")])
    world.run()
    assert not told & set(world.problems())


def spoil(world: World, content: bytes) -> None:
    """Flip a byte of the frame that holds `content` in the clear (its sources)."""
    for segment in world.home.log.glob("*.seg"):
        data = bytearray(segment.read_bytes())
        if (found := data.find(content)) >= 0:
            data[found] ^= 0xFF
            segment.write_bytes(data)
            return
    raise AssertionError("nothing to damage")


# Index.


def test_a_log_position_that_cannot_be_read_is_told_until_it_can(tmp_path: Path) -> None:
    """index.stuck"""
    room = IndexRoom(tmp_path)
    for number in range(3):
        room.send((f"e{number}", 10))
    (segment,) = room.home.verdicts.glob("*.seg")
    whole = segment.read_bytes()
    broken = bytearray(whole)
    broken[broken.index(room.world.verdict(3).keys)] ^= 1
    segment.write_bytes(broken)
    for _ in range(4):
        room.run(30)
    assert "index.stuck" in room.problems()
    segment.write_bytes(whole)
    room.run()
    assert room.problems() == {}
    assert sorted(room.found()) == ["e0", "e1", "e2"]


def test_a_hole_in_the_log_is_told_while_the_index_catches_up(tmp_path: Path) -> None:
    """index.hole while it lasts; index.missing, which no restart brings back, until the next."""
    room = IndexRoom(tmp_path, archive=Archive())
    room.send(("one", 10))
    room.run()
    room.indexer.close()
    gone = room.send(("two", 10))
    room.world.release_through(gone)
    room.start()
    for _ in range(5):
        if "index.hole" in room.problems():
            break
        room.indexer.step()
    assert "index.hole" in room.problems()
    room.run()
    assert set(room.problems()) == {"index.missing"}
    room.metrics = Metrics("index", room.clock)
    room.crash()
    room.run()
    assert room.problems() == {}


def test_what_the_index_survived_is_told_until_its_next_start(tmp_path: Path) -> None:
    """index.damage, index.begun-anew"""
    room = IndexRoom(tmp_path)
    room.send(("a", 10))
    room.run()
    room.world.send([line("b")], account="123123123123")
    room.send(("c", 10))
    spoil(room.world, b"123123123123")
    room.crash()
    generation = room.generation()
    generation.write(msgspec.structs.replace(generation.read(), log_id="another", position=99))
    room.run()
    assert set(room.problems()) == {"index.damage", "index.begun-anew"}
    room.metrics = Metrics("index", room.clock)
    room.crash()
    room.send(("d", 10))
    room.run()
    assert room.problems() == {}
    assert {"a", "c", "d"} <= set(room.found())


# OpenSearch.


class ReadyCluster(Cluster):
    """Ready without being asked; what it says of its template is chosen."""

    told = ""

    def install_template(self) -> str:
        return self.told

    def days(self) -> set[str]:
        return set()


@pytest.fixture(scope="module")
def bulk_server() -> Iterator[BulkServer]:
    server = BulkServer()
    yield server
    server.stop()


@pytest.fixture
def search(tmp_path: Path, bulk_server: BulkServer) -> Iterator[tuple[OpenSearchRoom, BulkServer]]:
    server = bulk_server
    server.documents.clear()
    server.always = None
    room = OpenSearchRoom(tmp_path, server.url, archive=Archive())
    start_over(room)
    yield room, server
    room.close()


def start_over(room: OpenSearchRoom, template: str = "") -> None:
    """The role anew, telling of nothing yet."""
    room.indexer.close()
    room.metrics = Metrics("opensearch", room.clock)
    continue_with(room, template)


def continue_with(room: OpenSearchRoom, template: str = "") -> None:
    cluster = ReadyCluster(room.sections.opensearch)
    cluster.told = template
    room.indexer = OpenSearchIndexer(
        room.home, room.sections, room.clock, room.metrics, archive=room.archive, cluster=cluster
    )


@pytest.mark.parametrize(
    ("key", "status", "error"),
    [
        ("opensearch.waiting", 429, "rejected_execution_exception"),
        ("opensearch.refused", 403, "cluster_block_exception"),
    ],
)
def test_a_cluster_that_does_not_take_events_is_told_until_it_does(
    search: tuple[OpenSearchRoom, BulkServer], key: str, status: int, error: str
) -> None:
    room, server = search
    server.always = (status, {"error": {"type": error, "reason": "not now"}})
    room.send(("one", 10))
    room.run_until(lambda: key in room.problems())
    server.always = None
    room.run()
    assert room.problems() == {}
    assert len(server.documents) == 1


def test_a_template_of_somebody_else_is_told_until_it_is_ours(
    search: tuple[OpenSearchRoom, BulkServer],
) -> None:
    """opensearch.template"""
    room, _ = search
    room.send(("one", 10))
    room.indexer.close()
    continue_with(room, "not ours")
    room.run()
    assert room.problems() == {"opensearch.template": "not ours"}
    room.indexer.close()
    continue_with(room)
    room.run()
    assert room.problems() == {}


def test_events_that_the_cluster_refuses_in_every_form_are_told_while_they_are_kept(
    search: tuple[OpenSearchRoom, BulkServer],
) -> None:
    """opensearch.held is over once somebody took the file away and the role started again."""
    room, server = search
    server.always = lambda key, document: NO_MAPPING
    room.send(("one", 10))
    room.run()
    assert set(room.problems()) == {"opensearch.held"}
    start_over(room)
    room.run()
    assert set(room.problems()) == {"opensearch.held"}, "a restart forgets none"
    (room.home.opensearch / "held").rename(room.home.path / "looked-at")
    start_over(room)
    room.run()
    assert room.problems() == {}


def test_a_hole_and_damage_in_the_log_are_told_by_the_role_opensearch(
    search: tuple[OpenSearchRoom, BulkServer],
) -> None:
    """opensearch.hole while it lasts; opensearch.missing and opensearch.damage until a start."""
    room, server = search
    room.send(("one", 10))
    room.run()
    room.indexer.close()
    room.world.release_through(room.send(("two", 10)))
    room.world.send([line("b")], account="123123123123")
    room.send(("three", 10))
    spoil(room.world, b"123123123123")
    start_over(room)
    room.run_until(lambda: "opensearch.hole" in room.problems())
    room.run()
    assert set(room.problems()) == {"opensearch.missing", "opensearch.damage"}
    done = room.indexer._done
    assert len(server.documents) + done.missing == done.kept
    start_over(room)
    room.run()
    assert room.problems() == {}


# Archive.


def test_a_gap_in_the_log_is_told_by_the_archive_until_its_next_start(tmp_path: Path) -> None:
    """archive.log_gap"""
    rig = Rig(tmp_path)
    rig.archiver._note_damage(Damage(1, 1, "says the test", "1.seg", 0))
    assert keys(rig.metrics) == {"archive.log_gap"}
    rig.metrics = Metrics("archive", rig.clock)
    rig.start()
    rig.log.send([event(1, NOON)])
    rig.pass_time(7200)
    assert keys(rig.metrics) == set()


def test_objects_that_cannot_be_removed_are_told_until_they_can(tmp_path: Path) -> None:
    """archive.retention"""
    destination = Keeping(Home(tmp_path), "opentrail")
    rig = Rig(tmp_path, destination=destination, retention="2d")
    rig.log.send([event(1, NOON)])
    rig.pass_time(3 * 86_400, step=1800)
    assert keys(rig.metrics) == {"archive.retention"}
    destination.refuses = False
    rig.pass_time(10)
    assert keys(rig.metrics) == set()
    assert rig.object_keys() == []


class Keeping(LocalDirectory):
    """A bucket whose policy allows no removal."""

    refuses = True

    def delete(self, key: str) -> None:
        if self.refuses:
            raise DestinationError("denied", f"{key}: not allowed; allow s3:DeleteObject")
        super().delete(key)
