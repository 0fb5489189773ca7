"""Plain HTTP opens on loopback only, and no handler is reachable but through the seam."""

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from opentrail.clock import SystemClock
from opentrail.errors import ConfigError
from opentrail_aggregator.access.scope import Action
from opentrail_aggregator.api.access import Caller, Denied
from opentrail_aggregator.api.own_events import OwnEvents
from opentrail_aggregator.api.own_record import OwnRecords
from opentrail_aggregator.api.routes import Route, add_routes
from opentrail_aggregator.api.settings import (
    HttpSettings,
    HttpTlsSettings,
    parse_address,
    refuse_open_plaintext,
)
from opentrail_aggregator.metrics import Metrics
from tests.aggregator.api.serving import Log, serving


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "[2001:db8::1]"])
def test_plain_http_where_others_reach_it_has_to_be_wanted_by_name(host: str) -> None:
    with pytest.raises(ConfigError, match="others can reach"):
        refuse_open_plaintext(HttpSettings(listen=f"{host}:8470"))
    refuse_open_plaintext(HttpSettings(listen=f"{host}:8470", allow_plaintext=True))
    tls = HttpTlsSettings(certificate=Path("c"), key=Path("k"))
    refuse_open_plaintext(HttpSettings(listen=f"{host}:8470", tls=tls))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_a_loopback_address_is_taken(host: str) -> None:
    refuse_open_plaintext(HttpSettings(listen=f"{host}:8470"))


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        HttpTlsSettings(certificate=Path("c"))


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

    async def admit(self, request: web.Request, action: Action, *, whole: bool = False) -> Caller:
        self.asked.append(action)
        raise Denied("not you")


async def test_who_is_refused_never_reaches_a_handler(tmp_path: Path) -> None:
    reached = []

    async def handler(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        return web.Response()

    access = NobodyAccess()
    application = web.Application()
    clock, log = SystemClock(), Log()
    metrics = Metrics("api", clock)
    own = OwnEvents(log.submit, OwnRecords("0" * 12, "us-east-1", clock), clock, metrics)
    add_routes(application, [Route("GET", "/x", "operate", handler)], access, metrics, own)
    async with TestClient(TestServer(application)) as client:
        answer = await client.get("/x")
    assert (answer.status, reached, access.asked) == (403, [], ["operate"])
    own.close()
    assert [each["errorCode"] for each in log.records] == ["AccessDenied"]
    assert metrics.value("opentrail_api_requests_total", path="/x", status="403") == 1


async def test_a_path_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        answer = await client.get("/nothing/here")
        assert answer.status == 404
        assert "no such path" in (await answer.json())["error"]["message"]
