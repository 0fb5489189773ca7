"""The port opens on loopback only, and no handler is reachable but through the seam."""

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from opentrail.clock import SystemClock
from opentrail.errors import ConfigError
from opentrail_aggregator.api.access import Action, Caller, Denied
from opentrail_aggregator.api.routes import Route, add_routes
from opentrail_aggregator.api.settings import parse_address, refuse_other_than_loopback
from opentrail_aggregator.metrics import Metrics
from tests.aggregator.api.serving import serving


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "2001:db8::1"])
def test_an_address_that_others_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="others can reach"):
        refuse_other_than_loopback(host, 8470)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_loopback_address_is_taken(host: str) -> None:
    refuse_other_than_loopback(host, 8470)


@pytest.mark.parametrize("text", ["8470", "localhost", "::1:8470", "127.0.0.1:99999", ":1", "a:b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"http\.listen"):
        parse_address(text, "http.listen")


def test_ipv6_stands_in_brackets() -> None:
    assert parse_address("[::1]:8470", "http.listen") == ("::1", 8470)


class NobodyAccess:
    """Refuses everybody, and remembers for what."""

    def __init__(self) -> None:
        self.asked: list[Action] = []

    def admit(self, request: web.Request, action: Action) -> Caller:
        self.asked.append(action)
        raise Denied("not you")


async def test_who_is_refused_never_reaches_a_handler(tmp_path: Path) -> None:
    reached = []

    async def handler(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        return web.Response()

    access = NobodyAccess()
    application = web.Application()
    metrics = Metrics("api", SystemClock())
    add_routes(application, [Route("GET", "/x", "operate", handler)], access, metrics)
    async with TestClient(TestServer(application)) as client:
        answer = await client.get("/x")
    assert (answer.status, reached, access.asked) == (403, [], ["operate"])
    assert metrics.value("opentrail_api_requests_total", path="/x", status="403") == 1


async def test_a_path_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        answer = await client.get("/nothing/here")
        assert answer.status == 404
        assert "no such path" in (await answer.json())["error"]["message"]
