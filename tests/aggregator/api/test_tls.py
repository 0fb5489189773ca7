"""TLS of the HTTP port: the pair in the files counts from the next connection on."""

import asyncio
import shutil
import ssl
from pathlib import Path

import aiohttp
import pytest

from opentrail.clock import SystemClock
from opentrail.errors import ConfigError
from opentrail_aggregator.access.key_file import read_key_file
from opentrail_aggregator.cli.client import NoAnswerError, Server, server_at
from opentrail_aggregator.pki import DevelopmentPki
from tests.aggregator.api.serving import serving


def pair(directory: Path, name: str) -> tuple[Path, Path]:
    made = DevelopmentPki(directory / name, SystemClock()).server(["127.0.0.1"])
    return made.certificate, made.key


def put(directory: Path, name: str) -> None:
    certificate, key = pair(directory, name)
    shutil.copy(certificate, directory / "http.crt")
    shutil.copy(key, directory / "http.key")


def files(directory: Path) -> dict[str, str]:
    return {
        "http.tls.certificate": str(directory / "http.crt"),
        "http.tls.key": str(directory / "http.key"),
    }


def served(url: str) -> str:
    host, port = url.removeprefix("https://").split(":")
    return ssl.get_server_certificate((host, int(port)))


async def test_a_renewed_pair_is_taken_up_and_a_wrong_one_leaves_the_old(tmp_path: Path) -> None:
    put(tmp_path, "first")
    async with serving(tmp_path, changes=files(tmp_path)) as (client, server):
        url = str(client._base_url).rstrip("/")
        assert url.startswith("https://")
        first = await asyncio.to_thread(served, url)
        put(tmp_path, "second")
        second = await asyncio.to_thread(served, url)
        assert second != first
        (tmp_path / "http.key").write_bytes((tmp_path / "first" / "server.key").read_bytes())
        assert await asyncio.to_thread(served, url) == second
        told = server._metrics.snapshot()["problems"]
        assert [each["key"] for each in told] == ["http.certificate"]
        put(tmp_path, "second")
        assert await asyncio.to_thread(served, url) == second
        assert server._metrics.snapshot()["problems"] == []


async def test_commands_of_the_home_believe_its_certificate_and_others_do_not(
    tmp_path: Path,
) -> None:
    put(tmp_path, "first")
    async with serving(tmp_path, changes=files(tmp_path)):
        own = server_at(tmp_path)
        found = await asyncio.to_thread(own.get, "/api/count")
        assert found["total"] == 0
        stranger = Server(own.url, read_key_file(tmp_path / "keys" / "local.json"))
        with pytest.raises(NoAnswerError, match="certificate"):
            await asyncio.to_thread(stranger.get, "/api/count")


async def test_plain_http_on_a_tls_port_is_not_answered(tmp_path: Path) -> None:
    put(tmp_path, "first")
    async with serving(tmp_path, changes=files(tmp_path)) as (client, _):
        url = str(client._base_url).replace("https", "http")
        async with aiohttp.ClientSession() as plain:
            with pytest.raises(aiohttp.ClientError):
                await plain.get(url + "/health/live")


async def test_a_pair_that_cannot_be_used_at_the_start_is_a_wrong_configuration(
    tmp_path: Path,
) -> None:
    put(tmp_path, "first")
    (tmp_path / "http.key").write_text("nothing")
    with pytest.raises(ConfigError, match=r"http\.tls"):
        async with serving(tmp_path, changes=files(tmp_path)):
            pass
