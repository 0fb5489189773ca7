"""At the agents' port: who is believed, for whom it speaks, and for how long."""

import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from opentrail.v1.ingest_pb2 import Refusal, RenewRequest
from opentrail.v1.ingest_pb2_grpc import IdentityStub
from opentrail_agent.enrolment.request import make_request
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.certificates import Credentials
from opentrail_aggregator.identity.settings import IdentitySettings
from opentrail_aggregator.ingest.server import IngestServer
from opentrail_aggregator.ingest.settings import Grant
from tests.aggregator.ingest.agents import (
    HandAgent,
    channel_credentials,
    entries,
    payload,
    running,
    settings,
)

from .enrolments import EnrolmentDesk

pytestmark = pytest.mark.slow


def agent_with(credentials: Credentials, ingest: IngestServer, name: str) -> HandAgent:
    agent = HandAgent(Path("unused"), ingest.port, name, credentials=credentials)
    return agent


def problems(ingest: IngestServer) -> dict[str, str]:
    return {each["key"]: each["text"] for each in ingest.metrics.snapshot()["problems"]}


def grants_in_log(home: Path) -> list[list[str]]:
    """Agents of each settings frame in the log."""
    found = []
    for entry in entries(home):
        if not entry.is_batch and entry.control().get("type") == "settings":
            found.append([each["agent"] for each in entry.control()["grants"]])
    return found


async def test_an_enrolled_agent_is_let_in_and_the_log_knows_its_grant_first(
    tmp_path: Path,
) -> None:
    desk = EnrolmentDesk(tmp_path / "home")
    async with running(desk.home.path) as ingest:
        token = desk.token("web-1", Scope(("111122223333",), ("*",)))
        _, credentials = desk.enrol("web-1", tmp_path / "state", token)
        async with agent_with(credentials, ingest, "web-1") as agent:
            assert (await agent.hello()).log_id
            await agent.send(1, payload())
            await agent.acknowledged(1)
    seen = [
        entry.control()["grants"][0]["agent"] if not entry.is_batch else "batch"
        for entry in entries(desk.home.path)
        if entry.is_batch or entry.control()["type"] == "settings"
    ]
    assert seen == ["*", "web-1", "batch"]


async def test_a_revoked_serial_is_refused_and_its_open_stream_ends_within_five_seconds(
    tmp_path: Path,
) -> None:
    desk = EnrolmentDesk(tmp_path / "home")
    async with running(desk.home.path) as ingest:
        _, credentials = desk.enrol("web-1", tmp_path / "state")
        async with agent_with(credentials, ingest, "web-1") as agent:
            assert (await agent.hello()).log_id
            desk.register.revoke_agent("web-1", "stolen")
            refusal = await agent.answer(5.0)
            assert refusal.code == Refusal.NOT_ALLOWED
            assert "is revoked" in refusal.message
            assert await agent.answer(5.0) is None, "the stream is over"
        async with agent_with(credentials, ingest, "web-1") as agent:
            assert (await agent.hello()).code == Refusal.NOT_ALLOWED
        assert ingest.metrics.value("opentrail_ingest_revoked_total") == 2
        with pytest.raises(grpc.aio.AioRpcError, match="revoked"):
            await renewed(credentials, ingest)


async def test_an_agent_gets_its_next_certificate_under_the_one_it_has(tmp_path: Path) -> None:
    desk = EnrolmentDesk(tmp_path / "home")
    async with running(desk.home.path) as ingest:
        issued, credentials = desk.enrol("web-1", tmp_path / "state")
        certificate = await renewed(credentials, ingest)
        assert "BEGIN CERTIFICATE" in certificate
        assert certificate != issued.certificate
        stranger = HandAgent(desk.home.path, ingest.port, "web-9")
        other = await renewed(stranger._credentials, ingest)
        assert other, "the home's own authority made this one too"


async def renewed(credentials: Credentials, ingest: IngestServer) -> str:
    made = await asyncio.to_thread(make_request, "web-1")
    channel = grpc.aio.secure_channel(
        f"127.0.0.1:{ingest.port}", channel_credentials(credentials),
        options=[("grpc.use_local_subchannel_pool", 1)],
    )  # fmt: skip
    async with channel:
        answer = await IdentityStub(channel).Renew(RenewRequest(certificate_request=made.request))
    return str(answer.certificate)


async def test_a_stream_ends_when_its_certificate_runs_out(tmp_path: Path) -> None:
    desk = EnrolmentDesk(tmp_path / "home", life=3)
    async with running(desk.home.path) as ingest:
        _, credentials = desk.enrol("web-1", tmp_path / "state")
        async with agent_with(credentials, ingest, "web-1") as agent:
            assert (await agent.hello()).log_id
            assert await agent.answer(8.0) is None


async def test_two_machines_with_one_identity_are_noticed_and_both_named(tmp_path: Path) -> None:
    shared = IdentitySettings(shared=("fleet-*",))
    async with running(tmp_path, identity=shared) as ingest:
        for name, is_told in (("fleet-1", False), ("web-1", True)):
            async with (
                HandAgent(tmp_path, ingest.port, name) as one,
                HandAgent(tmp_path, ingest.port, name) as other,
                HandAgent(tmp_path, ingest.port, name) as beside,
            ):
                assert (await one.hello(host="alpha", machine="a")).log_id
                assert (await beside.hello(host="alpha", machine="a")).log_id
                assert f"ingest.twins.{name}" not in problems(ingest), "an import beside it"
                assert (await other.hello(host="beta", machine="b")).log_id
                assert (f"ingest.twins.{name}" in problems(ingest)) is is_told
        told = problems(ingest)["ingest.twins.web-1"]
        assert "alpha (127.0.0.1)" in told
        assert "beta (127.0.0.1)" in told


async def test_grants_are_reloaded_without_a_restart_and_the_log_says_so(tmp_path: Path) -> None:
    none = IdentitySettings(grants=(Grant(agent="opentrail://agent/db-*"),))
    async with running(tmp_path, identity=none) as ingest:
        async with HandAgent(tmp_path, ingest.port) as agent:
            assert (await agent.hello()).code == Refusal.NOT_ALLOWED
        more = IdentitySettings(grants=(*none.grants, Grant(agent="web-*")))
        await ingest.reload(settings(tmp_path, identity=more))
        async with HandAgent(tmp_path, ingest.port) as agent:
            assert (await agent.hello()).log_id
    assert grants_in_log(tmp_path) == [["db-*"], ["db-*", "web-*"]]


async def test_a_damaged_register_is_told_and_what_was_read_before_holds(tmp_path: Path) -> None:
    desk = EnrolmentDesk(tmp_path / "home")
    async with running(desk.home.path) as ingest:
        _, credentials = desk.enrol("web-1", tmp_path / "state")
        path = desk.home.identity / "agents.json"
        good = path.read_text()
        path.write_text('{"format": 99, "entries": {}}')
        async with agent_with(credentials, ingest, "web-1") as agent:
            assert (await agent.hello()).log_id
        assert "later release" in problems(ingest)["ingest.identity"]
        path.write_text(good)
        async with agent_with(credentials, ingest, "web-1") as agent:
            assert (await agent.hello()).log_id
        assert "ingest.identity" not in problems(ingest)


async def test_tls_is_1_3_by_default_and_below_it_only_aead_suites_are_taken(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as ingest:
        agent = HandAgent(tmp_path, ingest.port)._credentials

        def shake(highest: ssl.TLSVersion, ciphers: str = "") -> str | None:
            context = ssl.create_default_context(cafile=str(agent.authority))
            context.load_cert_chain(agent.certificate, agent.key)
            context.maximum_version = highest
            context.set_alpn_protocols(["h2"])
            if ciphers:
                context.set_ciphers(ciphers)
            with (
                socket.create_connection(("127.0.0.1", ingest.port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
            ):
                return secured.version()

        assert await asyncio.to_thread(shake, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        aead = await asyncio.to_thread(shake, ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM")
        assert aead == "TLSv1.2"
        for weak in ("ECDHE+AES128+SHA256:@SECLEVEL=0", "AES128-SHA:@SECLEVEL=0"):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(shake, ssl.TLSVersion.TLSv1_2, weak)


async def test_reflection_is_off(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest:
        agent = HandAgent(tmp_path, ingest.port)
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{ingest.port}", channel_credentials(agent._credentials)
        )
        async with channel:
            for version in ("v1", "v1alpha"):
                path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
                call: Any = channel.stream_stream(path)()
                assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_spiffe_id_names_an_agent_where_its_trust_domain_is_listed() -> None:
    from opentrail_aggregator.ingest.tls import certified_agents

    found = {"x509_subject_alternative_name": [b"spiffe://x.org/opentrail/prod/web-1"]}
    assert certified_agents(found, ["spiffe://x.org/opentrail/"]) == ["prod.web-1"]
    assert certified_agents(found, ["spiffe://y.org/"]) == []
    assert json.dumps(certified_agents(found)) == "[]"
