"""The shipper on a bad network, and with certificates that change under it."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from opentrail.clock import SystemClock
from opentrail_agent.ship.settings import TlsSettings
from opentrail_aggregator.pki import DevelopmentPki
from tests.agent.ship.test_shipper import Agent, assert_all_arrived_once
from tests.fakes.aggregator import FakeAggregator
from tests.fakes.proxy import Proxy


@contextlib.asynccontextmanager
async def shipping(directory: Path, *addresses: str, **settings: float) -> AsyncIterator[Agent]:
    agent = Agent(directory / "spool", list(addresses), settings=settings)
    try:
        yield agent
    finally:
        await agent.close()


@pytest.mark.slow
async def test_a_half_open_connection_is_noticed_within_20_seconds(tmp_path: Path) -> None:
    async with (
        FakeAggregator() as server,
        Proxy(server.address) as proxy,
        shipping(tmp_path, proxy.address, server.address) as agent,
    ):
        await agent.write(3)
        await agent.all_acknowledged()
        proxy.frozen = True
        began = asyncio.get_running_loop().time()
        await agent.write(3)
        await agent.all_acknowledged(seconds=30)
        assert asyncio.get_running_loop().time() - began <= 20
        assert_all_arrived_once(server, agent)


async def test_lost_answers_and_reset_connections_double_nothing(tmp_path: Path) -> None:
    async with (
        FakeAggregator() as server,
        Proxy(server.address) as proxy,
        shipping(tmp_path, proxy.address, welcome_seconds=0.5) as agent,
    ):
        for _ in range(6):
            await agent.write(5)
            proxy.one_way = True
            await asyncio.sleep(0.05)
            proxy.cut()
            proxy.one_way = False
            await asyncio.sleep(0.05)
        await agent.all_acknowledged()
        assert_all_arrived_once(server, agent)
        assert agent.metrics.value("opentrail_agent_connects_total") >= 3


@pytest.mark.slow
async def test_a_dripping_connection_is_slow_and_nothing_else(tmp_path: Path) -> None:
    async with (
        FakeAggregator() as server,
        Proxy(server.address) as proxy,
        shipping(tmp_path, proxy.address) as agent,
    ):
        await agent.write(1)
        await agent.all_acknowledged()
        proxy.piece_bytes, proxy.drip_seconds = 64, 0.02
        await agent.write(5)
        await agent.all_acknowledged(seconds=20)
        assert_all_arrived_once(server, agent)
        assert len(server.seen.hellos) == 1


def server_credentials(pki: DevelopmentPki) -> grpc.ServerCredentials:
    server = pki.server(["127.0.0.1"])
    pair = (server.key.read_bytes(), server.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], server.authority.read_bytes(), True)


@pytest.mark.slow
async def test_certificates_are_read_again_at_every_connect(tmp_path: Path) -> None:
    old = DevelopmentPki(tmp_path / "old", SystemClock())
    new = DevelopmentPki(tmp_path / "new", SystemClock())
    used = TlsSettings(
        ca=tmp_path / "ca.crt",
        certificate=tmp_path / "agent.crt",
        key=tmp_path / "agent.key",
    )
    assert used.ca and used.certificate and used.key  # noqa: PT018
    first = old.agent("agent-1")
    shutil.copy(first.authority, used.ca)
    shutil.copy(first.certificate, used.certificate)
    shutil.copy(first.key, used.key)
    server = FakeAggregator()
    server.credentials = server_credentials(old)
    async with server:
        agent = Agent(tmp_path / "spool", [server.address], tls=used)
        await agent.write(3)
        await agent.all_acknowledged()
    again = FakeAggregator(port=server.port)
    again.credentials = server_credentials(new)
    again.log, again._held, again._begins = server.log, server._held, server._begins
    async with again:
        await agent.write(3)
        await asyncio.sleep(0.5)
        assert agent.spool.backlog_batches == 3
        assert "uplink" in agent.metrics.problems()
        fresh = new.agent("agent-1")
        # First the key: for a moment key and certificate do not belong together.
        shutil.copy(fresh.key, used.key)
        await asyncio.sleep(0.2)
        shutil.copy(fresh.certificate, used.certificate)
        shutil.copy(fresh.authority, used.ca)
        await agent.all_acknowledged()
        assert server.log == agent.sent
        assert agent.metrics.problems() == {}
    await agent.close()
