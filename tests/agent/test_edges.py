"""Both edges of what an agent tells of itself: told, and over with its cause.

Which test shows which problem is listed in `tests/problems.py`. Fakes only inject faults.
"""

import asyncio
import hashlib
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail_agent.enrolment.request import NewKey, RequestError, make_request
from opentrail_agent.metrics import Metrics
from opentrail_agent.s3.listing import BucketFeed
from opentrail_agent.s3.settings import S3SourceSettings
from opentrail_agent.ship.heartbeat import Report
from opentrail_agent.spool.room import Room
from opentrail_agent.spool.spool import Spool
from opentrail_agent.spool.writer import SpoolWriter
from opentrail_agent.status import IDLE_SECONDS, StatusWriter
from tests.agent.capture.events import lines
from tests.agent.capture.rig import Rig
from tests.agent.enrolment.test_renewal import ShiftedClock, renewal
from tests.aggregator.identity.enrolments import EnrolmentDesk
from tests.aggregator.ingest.agents import running
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize("end", ["read", "renamed", "deleted", "replaced"])
def test_a_file_that_cannot_be_read_is_told_until_it_can_or_is_gone(
    tmp_path: Path, end: str
) -> None:
    """capture.read PATH, whatever the file is called by then."""
    logs = tmp_path / "logs"
    logs.mkdir()
    path = logs / "a.json"
    path.write_bytes(lines(1))
    rig = Rig(tmp_path, str(logs / "*.json"), deleted_keep=1.0, rotated_keep=1.0)
    rig.settle()
    (follower,) = rig.harvest._census.followers.values()
    rig.harvest._census.fail(follower, OSError(5, "Input/output error"))
    assert set(rig.metrics.problems()) == {f"capture.read {path}"}
    if end == "renamed":
        path.rename(logs / "b.json")
    elif end == "deleted":
        path.unlink()
    elif end == "replaced":
        path.write_bytes(lines(7))
    rig.settle(15)
    assert rig.metrics.problems() == {}
    assert rig.metrics.value("opentrail_agent_unreadable_paths") == 0


def test_positions_that_were_set_aside_are_told_until_the_next_start(tmp_path: Path) -> None:
    """capture.positions.broken"""
    path = tmp_path / "a.json"
    path.write_bytes(lines(1))
    rig = Rig(tmp_path, str(path))
    rig.settle()
    rig.restart()
    rig.harvest.close()
    state = tmp_path / "state" / "positions.json"
    state.write_bytes(state.read_bytes()[:30])
    rig.start()
    rig.settle()
    assert set(rig.metrics.problems()) == {"capture.positions.broken"}
    rig.metrics = Metrics(rig.clock)
    rig.restart()
    rig.settle()
    assert rig.metrics.problems() == {}


async def test_a_status_that_cannot_be_written_is_told_until_it_can(tmp_path: Path) -> None:
    """status_file"""
    clock, path = FakeClock(), tmp_path / "state" / "status.json"
    metrics = Metrics(clock)
    room = Room(1 << 30, 0, lambda: 1 << 40)
    spool = SpoolWriter(Spool(tmp_path / "spool", clock), room, SystemClock(), metrics)
    path.mkdir(parents=True)
    writer = StatusWriter(path, "web-1", spool, lambda: Report(0, []), clock, metrics)
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0.02)
    assert set(metrics.problems()) == {"status_file"}
    path.rmdir()
    clock.advance(IDLE_SECONDS)
    await asyncio.sleep(0.02)
    assert metrics.problems() == {}
    assert path.is_file()
    task.cancel()
    await asyncio.wait([task])
    await spool.close()


async def test_a_certificate_that_is_not_renewed_is_told_until_it_is(tmp_path: Path) -> None:
    """identity.renewal"""
    desk, clock, broken = EnrolmentDesk(tmp_path / "home", life=3600), ShiftedClock(), [True]
    desk.enrol("web-1", tmp_path / "state")
    clock.ahead = 2400

    def make(name: str) -> NewKey:
        if broken:
            raise RequestError("says the test")
        return make_request(name)

    async with running(desk.home.path) as ingest:
        stage, metrics = renewal(tmp_path / "state", ingest.port, clock, make=make)
        await stage.look()
        assert set(metrics.problems()) == {"identity.renewal"}
        broken.clear()
        await stage.look()
        assert metrics.problems() == {}


def test_a_stream_whose_state_was_set_aside_is_told_until_the_next_start(tmp_path: Path) -> None:
    """s3.state of a stream"""
    clock, name = FakeClock(), "AWSLogs/111122223333/CloudTrail/eu-west-1/"
    settings = S3SourceSettings(url="s3://bucket")
    for is_broken in (True, False):
        metrics = Metrics(clock)
        feed = BucketFeed(settings, None, tmp_path, clock, metrics)
        if is_broken:
            feed._directory.mkdir(parents=True)
            state = f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json"
            (feed._directory / state).write_text("half a lin")
        stream = feed._open(name)
        assert set(metrics.problems()) == ({f"s3.state {name}"} if is_broken else set())
        stream.taken(f"{name}2026/11/24/x")
        stream.save()
