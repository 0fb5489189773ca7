"""Mistakes of an installation: certificates, keys, who may read them, what is let in."""

import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from opentrail.certificate import CertificateFacts, facts_of
from opentrail.errors import OpenTrailError
from opentrail_aggregator.api.settings import parse_address, refuse_open_plaintext
from opentrail_aggregator.doctor.patient import Finding, Patient

SOON_SECONDS = 7 * 86400


def _server_files(patient: Patient) -> tuple[Path, Path, Path]:
    grpc, pki = patient.settings.grpc, patient.home.pki
    return (
        grpc.certificate or pki / "server.crt",
        grpc.key or pki / "server.key",
        grpc.authority or pki / "ca.crt",
    )


def certificates_are_missing(patient: Patient) -> Iterator[Finding]:
    for path in _server_files(patient):
        if not path.exists():
            yield Finding(
                "certificates", f"{path} does not exist; agents connect by mutual TLS",
                "opentrail-aggregator ca init --host NAME, or name your own files in grpc.*",
            )  # fmt: skip


def pair_does_not_fit(patient: Patient) -> Iterator[Finding]:
    certificate, key, _ = _server_files(patient)
    if not (certificate.exists() and key.exists()):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        yield Finding(
            "pair", f"{certificate} and {key} cannot be used together ({error})",
            "put the key there that belongs to the certificate, readable by the aggregator's user",
        )  # fmt: skip


def certificate_runs_out(patient: Patient) -> Iterator[Finding]:
    certificate, _, authority = _server_files(patient)
    for path in (certificate, authority):
        facts = _facts(path)
        if facts is None:
            continue
        if facts.not_before > patient.now:
            yield Finding(
                "certificate-dates", f"{path} is not good yet: is this host's clock behind?",
                "set the clock; if it is right, make the certificate anew",
            )  # fmt: skip
        elif facts.not_after < patient.now + SOON_SECONDS:
            left = facts.not_after - patient.now
            when = f"in {left // 3600} h" if left > 0 else f"{-left // 3600} h ago"
            yield Finding(
                "certificate-dates", f"{path} runs out {when}",
                "opentrail-aggregator ca init --host NAME renews the aggregator's own; your PKI "
                "renews its own",
            )  # fmt: skip


def secrets_can_be_read(patient: Patient) -> Iterator[Finding]:
    home = patient.home
    _, key, _ = _server_files(patient)
    for path in (key, home.pki / "ca.key", home.keys / "seal.key", home.keys / "local.json"):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # It is not there, or not ours to see: other checks say so.
        if stat.S_IMODE(mode) & 0o077:
            yield Finding(
                "secrets", f"{path} can be read by others (mode {stat.S_IMODE(mode):04o})",
                f"chmod 600 {path}, and make it anew if somebody may have read it",
            )  # fmt: skip


def nobody_has_a_key(patient: Patient) -> Iterator[Finding]:
    if patient.home.path.is_dir() and not (patient.home.keys / "keys.json").exists():
        yield Finding(
            "access-keys", "there is no access key, so nobody may ask anything",
            "opentrail keys create admin --home HOME",
        )  # fmt: skip


def authority_lost_its_key(patient: Patient) -> Iterator[Finding]:
    pki = patient.home.pki
    is_own = patient.settings.grpc.authority is None
    if is_own and (pki / "ca.crt").exists() and not (pki / "ca.key").exists():
        yield Finding(
            "authority", f"{pki / 'ca.key'} is not there: no agent can enrol or renew",
            "bring it back from a backup; else remove the folder, ca init, and enrol agents anew",
        )  # fmt: skip


def everybody_may_send_everything(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    host, _ = parse_address(settings.grpc.listen, "grpc.listen")
    if host in ("127.0.0.1", "::1", "localhost"):
        return
    grants = settings.identity.grants or settings.ingest.grants
    if any(each.agent == "*" and "*" in each.accounts and "*" in each.regions for each in grants):
        yield Finding(
            "grants", "any agent with a certificate may send events of every account and region",
            "list who may send what in identity.grants, or enrol agents with --account",
        )  # fmt: skip


def http_is_plain(patient: Patient) -> Iterator[Finding]:
    http = patient.settings.http
    try:
        refuse_open_plaintext(http)
    except OpenTrailError as error:
        yield Finding("http", str(error), "see the text; `ca init` prints what to write")


def enrolment_needs_tls(patient: Patient) -> Iterator[Finding]:
    http, grpc = patient.settings.http, patient.settings.grpc
    host, _ = parse_address(grpc.listen, "grpc.listen")
    is_here = host in ("127.0.0.1", "::1", "localhost")
    if not is_here and http.tls.certificate is None and not http.allow_plaintext:
        yield Finding(
            "enrolment", "agents of other hosts may connect, but cannot enrol: the HTTP port has "
            "no TLS",
            "give http.tls the pair that `opentrail-aggregator ca init` made, and listen outside",
        )  # fmt: skip


def identity_files_are_damaged(patient: Patient) -> Iterator[Finding]:
    from opentrail_aggregator.identity.kept import read_entries

    for name in ("tokens.json", "agents.json", "revoked.json"):
        path = patient.home.identity / name
        if not path.exists():
            continue
        try:
            read_entries(path)
        except (OSError, OpenTrailError) as error:
            yield Finding(
                "identity", str(error), "nobody can enrol meanwhile; do not remove the file"
            )


def _facts(path: Path) -> CertificateFacts | None:
    try:
        return facts_of(path.read_text())
    except (OSError, OpenTrailError, UnicodeDecodeError):
        return None  # That it is missing or no certificate is another check's.


CHECKS = (
    certificates_are_missing, pair_does_not_fit, certificate_runs_out, secrets_can_be_read,
    nobody_has_a_key, authority_lost_its_key, everybody_may_send_everything, http_is_plain,
    enrolment_needs_tls, identity_files_are_damaged,
)  # fmt: skip
