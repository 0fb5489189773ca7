"""Certificates are renewed without a restart, and a pair that does not fit is not used."""

from pathlib import Path

import pytest

from opentrail.errors import ConfigError
from opentrail_aggregator.ingest.tls import ServerTls, TlsFiles, certified_agents
from opentrail_aggregator.pki import DevelopmentPki

from .agents import CLOCK, HandAgent, running


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    made = DevelopmentPki(tmp_path / "pki", CLOCK).server(["127.0.0.1"])
    return TlsFiles(made.certificate, made.key, made.authority)


def test_a_renewed_certificate_counts_from_the_next_handshake_on(
    tmp_path: Path, files: TlsFiles
) -> None:
    tls = ServerTls(files, on_problem=lambda text: None, on_healed=lambda: None)
    assert tls.renewed() is None, "unchanged: handing it over again could crash a handshake"
    other = DevelopmentPki(tmp_path / "other", CLOCK).server(["127.0.0.1"])
    files.certificate.write_bytes(other.certificate.read_bytes())
    files.key.write_bytes(other.key.read_bytes())
    assert tls.renewed() is not None
    assert tls.renewed() is None


def test_while_certificate_and_key_do_not_fit_the_old_pair_is_kept_and_told(
    tmp_path: Path, files: TlsFiles
) -> None:
    problems: list[str] = []
    tls = ServerTls(files, on_problem=problems.append, on_healed=lambda: problems.append("healed"))
    other = DevelopmentPki(tmp_path / "other", CLOCK).server(["127.0.0.1"])
    files.certificate.write_bytes(other.certificate.read_bytes())
    assert tls.renewed() is None
    assert "cannot be used together" in problems[-1]
    files.key.write_bytes(other.key.read_bytes())
    assert tls.renewed() is not None
    assert problems[-1] == "healed"


def test_missing_files_at_the_start_are_an_error_with_their_name(files: TlsFiles) -> None:
    files.key.unlink()
    with pytest.raises(OSError, match=r"server\.key"):
        ServerTls(files, on_problem=lambda text: None, on_healed=lambda: None)


def test_a_wrong_pair_at_the_start_is_an_error(tmp_path: Path, files: TlsFiles) -> None:
    files.key.write_bytes(DevelopmentPki(tmp_path / "o", CLOCK).server(["x"]).key.read_bytes())
    with pytest.raises(ConfigError, match="put a matching pair there"):
        ServerTls(files, on_problem=lambda text: None, on_healed=lambda: None)


def test_an_agent_is_named_by_its_uri_else_by_its_dns_name() -> None:
    key = "x509_subject_alternative_name"
    assert certified_agents({key: [b"opentrail://agent/web-1", b"web-1.local"]}) == ["web-1"]
    assert certified_agents({key: [b"web-1.local"]}) == ["web-1.local"]
    assert certified_agents({key: [b"spiffe://x/y"]}) == []
    assert certified_agents({}) == []


async def test_a_running_server_shows_its_new_certificate(tmp_path: Path) -> None:
    """A new authority signs server and agent; both meet without a restart."""
    async with running(tmp_path) as ingest:
        async with HandAgent(tmp_path, ingest.port) as agent:
            assert (await agent.hello()).log_id
        other = tmp_path / "other"
        DevelopmentPki(other / "pki", CLOCK).server(["127.0.0.1"])
        for name in ("server.key", "server.crt", "ca.crt"):
            (tmp_path / "pki" / name).write_bytes((other / "pki" / name).read_bytes())
        async with HandAgent(other, ingest.port) as agent:
            assert (await agent.hello()).log_id
