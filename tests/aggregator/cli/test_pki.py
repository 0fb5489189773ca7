"""Certificates are made once, name the right party, and are made again only when they must be."""

import dataclasses
import datetime
import ssl
import sys
from pathlib import Path

import pytest
from cryptography import x509

from opentrail.clock import SystemClock
from opentrail.errors import ConfigError
from opentrail_aggregator.certificates import Credentials, make_certificates, server_credentials
from opentrail_aggregator.pki import DevelopmentPki


def _pki(path: Path, days_ahead: int = 0) -> DevelopmentPki:
    clock = SystemClock()
    clock._offset_ns = days_ahead * 86_400 * 1_000_000_000
    return DevelopmentPki(path, clock)


def _certificate(credentials: Credentials) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credentials.certificate.read_bytes())


def test_an_agent_is_named_by_a_uri_in_its_certificate(tmp_path: Path) -> None:
    certificate = _certificate(_pki(tmp_path).agent("local"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["opentrail://agent/local"]


def test_both_sides_accept_each_other(tmp_path: Path) -> None:
    pki = _pki(tmp_path)
    server, agent = pki.server(["127.0.0.1", "localhost"]), pki.agent("local")
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=server.authority)
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.load_cert_chain(server.certificate, server.key)
    agent_side = ssl.create_default_context(cafile=agent.authority)
    agent_side.load_cert_chain(agent.certificate, agent.key)
    to_server, to_agent = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepting = server_side.wrap_bio(to_server, to_agent, server_side=True)
    dialling = agent_side.wrap_bio(to_agent, to_server, server_hostname="127.0.0.1")
    for _ in range(4):
        for side in (dialling, accepting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    peer = accepting.getpeercert()
    assert peer is not None
    assert peer["subjectAltName"] == (("URI", "opentrail://agent/local"),)


def test_certificates_made_by_a_clock_a_day_ahead_are_valid_today(tmp_path: Path) -> None:
    credentials = _pki(tmp_path, days_ahead=1).agent("local")
    for path in (credentials.certificate, credentials.authority):
        held = x509.load_pem_x509_certificate(path.read_bytes())
        assert held.not_valid_before_utc < datetime.datetime.now(datetime.UTC)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    pki = _pki(tmp_path)
    for credentials in (pki.agent("local"), pki.server(["::1"])):
        assert credentials.key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_a_second_start_keeps_what_is_there(tmp_path: Path) -> None:
    before = _certificate(_pki(tmp_path).server(["localhost", "127.0.0.1"]))
    assert _certificate(_pki(tmp_path).server(["127.0.0.1"])) == before


def test_a_new_host_name_makes_a_new_certificate_under_the_same_authority(tmp_path: Path) -> None:
    before = _certificate(_pki(tmp_path).server(["localhost"]))
    after = _certificate(_pki(tmp_path).server(["localhost", "trail.example.org"]))
    assert after != before
    assert after.issuer == before.issuer


def test_what_runs_out_soon_is_made_again(tmp_path: Path) -> None:
    before = _certificate(_pki(tmp_path).agent("local"))
    assert _certificate(_pki(tmp_path, days_ahead=790).agent("local")) == before
    assert _certificate(_pki(tmp_path, days_ahead=800).agent("local")) != before


def test_a_crash_between_key_and_certificate_is_mended(tmp_path: Path) -> None:
    credentials = _pki(tmp_path).agent("local")
    other = _pki(tmp_path).agent("other")
    credentials.key.write_bytes(other.key.read_bytes())
    mended = _certificate(_pki(tmp_path).agent("local"))
    assert mended.serial_number != _certificate(other).serial_number
    assert dataclasses.replace(credentials) == _pki(tmp_path).agent("local")
    assert _certificate(_pki(tmp_path).agent("local")) == mended


def test_a_lost_authority_key_is_not_replaced_behind_the_agents_backs(tmp_path: Path) -> None:
    _pki(tmp_path).agent("local")
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match="put the key back"):
        _pki(tmp_path).agent("local")


def test_a_process_of_its_own_makes_them_and_tells_what_hinders_it(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["localhost", "::1"], ["local"])
    assert server_credentials(tmp_path).exist
    before = _certificate(server_credentials(tmp_path))
    make_certificates(tmp_path, ["localhost"], ["local", "import"])
    assert _certificate(server_credentials(tmp_path)) == before
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match="put the key back"):
        make_certificates(tmp_path, ["localhost"], ["local"])


def test_a_maker_that_was_killed_is_no_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = tmp_path / "died"
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\n[ -e {died} ] || {{ touch {died}; kill -9 $$; }}\nexec {sys.executable} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    make_certificates(tmp_path / "pki", ["localhost"], ["local"])
    assert died.exists()
    assert server_credentials(tmp_path / "pki").exist
