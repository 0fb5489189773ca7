"""Enrolment over the HTTP port: by a token only, checked by the fingerprint, told in the trail."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from opentrail.errors import UsageError
from opentrail_agent.enrolment.client import EnrolmentError, enrol
from opentrail_agent.enrolment.request import NewKey, make_request
from opentrail_agent.enrolment.token import parse_token
from tests.aggregator.api import serving
from tests.aggregator.identity.enrolments import EnrolmentDesk

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made() -> NewKey:
    return make_request("web-1")


@contextlib.asynccontextmanager
async def port(desk: EnrolmentDesk) -> AsyncIterator[tuple[str, serving.Log]]:
    """The HTTP port of the desk's home with TLS; its URL, and what it wrote into the trail."""
    pki = desk.home.pki
    log = serving.Log()
    files = {
        "http.tls.certificate": str(pki / "server.crt"),
        "http.tls.key": str(pki / "server.key"),
    }
    async with serving.serving(desk.home.path, log=log, changes=files) as (client, _):
        yield serving.url_of(client), log


async def ask(url: str, token: str, made: NewKey, name: str = "web-1", **more: Any) -> Any:
    return await asyncio.to_thread(enrol, url, parse_token(token), name, made.request, **more)


async def test_an_agent_enrols_and_the_trail_tells_it_without_its_secrets(
    tmp_path: Path, made: NewKey
) -> None:
    desk = EnrolmentDesk(tmp_path / "home")
    token = desk.token()
    async with port(desk) as (url, trail):
        enrolled = await ask(url, token, made)
        assert enrolled.addresses == ["127.0.0.1:8471"]
        assert enrolled.is_granted
    (event,) = [each for each in trail.records if each["eventName"] == "EnrolAgent"]
    assert event["requestParameters"]["agent"] == "web-1"
    assert token.split(".")[2] not in str(trail.lines)
    assert "CERTIFICATE REQUEST" not in str(trail.lines)


async def test_a_refused_token_is_told_and_in_the_trail(tmp_path: Path, made: NewKey) -> None:
    desk = EnrolmentDesk(tmp_path / "home")
    token = desk.token("db-*")
    async with port(desk) as (url, trail):
        with pytest.raises(EnrolmentError, match="for agents named db-"):
            await ask(url, token, made)
        desk.tokens.revoke(token.split(".")[1])
        with pytest.raises(EnrolmentError, match="no longer good"):
            await ask(url, token, made, "db-1")
    assert {each["errorCode"] for each in trail.records} == {"InvalidJoinToken"}


async def test_another_authority_than_the_token_s_is_sent_nothing(
    tmp_path: Path, made: NewKey
) -> None:
    desk, other = EnrolmentDesk(tmp_path / "home"), EnrolmentDesk(tmp_path / "other")
    mine, theirs = desk.token(), other.token()
    mixed = ".".join([*mine.split(".")[:3], theirs.split(".")[3]])
    async with port(desk) as (url, trail):
        with pytest.raises(EnrolmentError, match="another authority"):
            await ask(url, mixed, made)
    assert trail.lines == [], "the token was not shown"


async def test_a_port_that_the_authority_does_not_answer_for_is_not_shown_the_token(
    tmp_path: Path, made: NewKey
) -> None:
    """The man in the middle hands the right authority on, and has no key for it."""
    desk, middle = EnrolmentDesk(tmp_path / "home"), EnrolmentDesk(tmp_path / "middle")
    (middle.home.pki / "ca.crt").write_text((desk.home.pki / "ca.crt").read_text())
    token = desk.token()
    middle.home.identity.mkdir(parents=True, exist_ok=True)
    stolen = (desk.home.identity / "tokens.json").read_bytes()
    (middle.home.identity / "tokens.json").write_bytes(stolen)
    async with port(middle) as (url, trail):
        with pytest.raises(EnrolmentError, match="not of the authority in the token"):
            await ask(url, token, made)
        authority = str(desk.home.pki / "ca.crt")
        with pytest.raises(EnrolmentError, match="not of the authority"):
            await ask(url, token, made, https_ca=authority)
    assert trail.lines == []


def test_a_token_is_not_sent_over_plain_http_to_another_host(made: NewKey) -> None:
    token = parse_token(f"otj1.0011223344.{'s' * 32}.{'A' * 43}")
    with pytest.raises(UsageError, match="plain HTTP can be read"):
        enrol("http://192.0.2.1:8470", token, "web-1", made.request)
    assert "ssss" not in repr(token)


async def test_the_http_port_takes_only_aead_suites(tmp_path: Path) -> None:
    desk = EnrolmentDesk(tmp_path / "home")

    def shake(url: str, ciphers: str) -> str | None:
        context = ssl.create_default_context(cafile=str(desk.home.pki / "ca.crt"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        import socket
        from urllib.parse import urlsplit

        at = urlsplit(url)
        with (
            socket.create_connection((at.hostname or "", at.port or 0), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            return secured.version()

    async with port(desk) as (url, _):
        assert await asyncio.to_thread(shake, url, "ECDHE+AESGCM") == "TLSv1.2"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(shake, url, "ECDHE+AES256+SHA384:@SECLEVEL=0")
