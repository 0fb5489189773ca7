"""SIGHUP at an agent: a right configuration is taken up whole, a wrong one not at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail.errors import OpenTrailError
from opentrail.settings import load_settings
from opentrail_agent.config import AgentSettings
from opentrail_agent.metrics import Metrics
from opentrail_agent.reload import Reloading

CLOCK = SystemClock()
GOOD = """\
name: web-1
state: {state}
account: "{account}"
ship: {{allow_plaintext: true}}
"""


class Agent:
    """Something that runs under one configuration after another."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "agent.yaml"
        self.state = directory / "state"
        self.ran: list[str] = []
        self.unusable = ""
        self.metrics = Metrics(CLOCK)
        self.write("111122223333")
        self.reloading = Reloading(self.load(), self.load, self.run, CLOCK, self.metrics)

    def write(self, account: str, state: Path | None = None) -> None:
        self.path.write_text(GOOD.format(state=state or self.state, account=account))

    def load(self) -> AgentSettings:
        return load_settings(AgentSettings, self.path)

    async def run(self, settings: AgentSettings, leave: asyncio.Event, _: Metrics) -> None:
        self.ran.append(settings.account)
        if settings.account == self.unusable:
            raise OpenTrailError("the disk says no")
        await leave.wait()

    async def hang_up(self) -> None:
        self.reloading.asked.set()
        await asyncio.sleep(0.3)

    def told(self) -> str:
        return self.metrics.problems().get("config.reload", "")


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Agent]:
    agent, stop = Agent(directory), asyncio.Event()
    task = asyncio.create_task(agent.reloading.run(stop))
    await asyncio.sleep(0.05)
    yield agent
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_a_right_configuration_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    async with running(tmp_path) as agent:
        agent.write("222233334444")
        await agent.hang_up()
        assert agent.ran == ["111122223333", "222233334444"]
        assert agent.metrics.value("opentrail_agent_reloads_total", outcome="applied") == 1


@pytest.mark.parametrize("text", ["nane: x\n", "ship: [\n", ""])
async def test_a_wrong_one_changes_nothing_and_says_where(tmp_path: Path, text: str) -> None:
    async with running(tmp_path) as agent:
        agent.path.write_text(text)
        await agent.hang_up()
        assert agent.ran == ["111122223333"]
        assert "the configuration before runs on" in agent.told()
        assert list(agent.metrics.problems()) == ["config.reload"]
        if text:
            assert f"{agent.path}:" in agent.told()
        agent.write("222233334444")
        await agent.hang_up()
        assert agent.told() == ""


async def test_one_that_cannot_run_is_left_for_the_one_before(tmp_path: Path) -> None:
    async with running(tmp_path) as agent:
        agent.unusable = "222233334444"
        agent.write("222233334444")
        await agent.hang_up()
        assert agent.ran == ["111122223333", "222233334444", "111122223333"]
        assert "the disk says no" in agent.told()


async def test_an_agent_does_not_become_another_one(tmp_path: Path) -> None:
    async with running(tmp_path) as agent:
        agent.write("222233334444", tmp_path / "elsewhere")
        await agent.hang_up()
        assert agent.ran == ["111122223333"]
        assert "belongs to it" in agent.told()


async def test_what_fails_without_a_reload_ends_the_agent(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.unusable = "111122223333"
    with pytest.raises(OpenTrailError, match="the disk says no"):
        await agent.reloading.run(asyncio.Event())
