"""What the other roles put into the log is durable when they hear of it, wherever HOME lies."""

import asyncio
import stat
import threading
from pathlib import Path

import pytest

from opentrail.settings import Bytes
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.control import (
    ControlClient,
    ControlError,
    NoRoomError,
    append_control,
    submit,
)
from opentrail_aggregator.wal.settings import DiskSettings

from .agents import entries, payload, running


async def test_a_decision_is_in_the_log_when_the_call_returns(tmp_path: Path) -> None:
    async with running(tmp_path):
        position = await asyncio.to_thread(append_control, Home(tmp_path), "seal", {"parts": [1]})
        entry = entries(tmp_path)[-1]
        assert entry.position == position
        assert entry.control() == {"type": "seal", "parts": [1]}


async def test_a_batch_from_inside_gets_numbers_of_its_own_that_go_on(tmp_path: Path) -> None:
    bodies = [payload(str(number)) for number in range(4)]
    for begin in (0, 2):
        async with running(tmp_path):
            for body in bodies[begin : begin + 2]:
                await asyncio.to_thread(submit, Home(tmp_path), "opentrail/api", body)
    found = [(e.agent, e.sequence, e.payload) for e in entries(tmp_path) if e.is_batch]
    assert found == [("opentrail/api", n + 1, body) for n, body in enumerate(bodies)]
    assert len({e.epoch for e in entries(tmp_path) if e.is_batch}) == 1


async def test_the_same_batch_submitted_again_is_not_written_again(tmp_path: Path) -> None:
    """The answer to the first call may have been lost."""
    async with running(tmp_path):
        first = await asyncio.to_thread(submit, Home(tmp_path), "opentrail/api", payload())
        again = await asyncio.to_thread(submit, Home(tmp_path), "opentrail/api", payload())
    assert first == again


async def test_many_submitters_at_once_get_one_number_each(tmp_path: Path) -> None:
    async with running(tmp_path):
        client = ControlClient(Home(tmp_path))
        await asyncio.gather(
            *(
                asyncio.to_thread(client.submit, "opentrail/api", payload(str(number)))
                for number in range(30)
            )
        )
        client.close()
    assert [e.sequence for e in entries(tmp_path) if e.is_batch] == list(range(1, 31))


async def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async with running(tmp_path):
        mode = (tmp_path / "run" / "ingest.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_a_home_deeper_than_a_socket_path_works_too(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    deep.mkdir(parents=True)
    assert len(str(deep / "run" / "ingest.sock")) > 108
    async with running(deep):
        assert await asyncio.to_thread(append_control, Home(deep), "seal", {}) == 2


@pytest.mark.parametrize("kind", ["settings", "lost", "", "Seal", "a b", "x" * 65])
async def test_kinds_of_frames_that_are_not_theirs_are_refused(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path):
        with pytest.raises(ControlError, match="is not taken"):
            await asyncio.to_thread(append_control, Home(tmp_path), kind, {})


@pytest.mark.parametrize("agent", ["web-1", "opentrail/", "opentrail/../x"])
async def test_names_that_are_not_of_the_inside_are_refused(tmp_path: Path, agent: str) -> None:
    async with running(tmp_path):
        with pytest.raises(ControlError, match="is no submitter"):
            await asyncio.to_thread(submit, Home(tmp_path), agent, payload())
    assert [e for e in entries(tmp_path) if e.is_batch] == []


async def test_what_is_no_batch_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(ControlError, match="does not begin as a batch"):
            await asyncio.to_thread(submit, Home(tmp_path), "opentrail/api", b"rubbish" * 10)


async def test_a_full_disk_is_told_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, disk=DiskSettings(reserve=Bytes(1 << 60))):
        with pytest.raises(NoRoomError, match=r"disk\.reserve"):
            await asyncio.to_thread(submit, Home(tmp_path), "opentrail/api", payload())


async def test_a_call_waits_for_an_ingest_that_is_just_starting(tmp_path: Path) -> None:
    waiting = asyncio.create_task(
        asyncio.to_thread(append_control, Home(tmp_path), "seal", {"n": 1}, 20.0)
    )
    await asyncio.sleep(0.3)
    async with running(tmp_path):
        assert await waiting == 2


def test_without_an_ingest_the_deadline_ends_the_call(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"is the aggregator running\?"):
        append_control(Home(tmp_path), "seal", {}, 0.3)
    assert threading.active_count() < 50
