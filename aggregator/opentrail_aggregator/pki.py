"""Development certificates, so that the first start already speaks mutual TLS.

Which files there are stands in `certificates.py`. Everything is made when missing and made again
when it runs out or no longer names the host; the authority is made once, so agents enrolled by hand
stay valid. Keys are written with mode 0600.

This is for one machine and for trying things out. It does not revoke, does not enrol over the
network and does not rotate under running connections.
"""

import argparse
import datetime
import ipaddress
import sys
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from opentrail.clock import Clock, SystemClock
from opentrail.errors import ConfigError, OpenTrailError
from opentrail.files import DISK, Files
from opentrail_aggregator.certificates import (
    Credentials,
    agent_credentials,
    server_credentials,
)

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
RENEW_BEFORE_DAYS = 30
AGENT_URI = "opentrail://agent/"
# A host whose clock was days ahead at its first start must still trust itself once it is set right.
_BACKDATED = datetime.timedelta(days=30)


class DevelopmentPki:
    """The certificates of one home."""

    def __init__(self, directory: Path, clock: Clock, files: Files = DISK) -> None:
        self._directory = directory
        self._clock = clock
        self._files = files

    def server(self, hosts: Iterable[str]) -> Credentials:
        """The aggregator's credentials, valid for all of `hosts`."""
        names: list[x509.GeneralName] = [_host_name(host) for host in sorted(set(hosts))]
        found = server_credentials(self._directory)
        return self._ensure(found, "opentrail aggregator", names, ExtendedKeyUsageOID.SERVER_AUTH)

    def agent(self, name: str) -> Credentials:
        """The credentials of the agent `name`."""
        uri: list[x509.GeneralName] = [x509.UniformResourceIdentifier(AGENT_URI + name)]
        found = agent_credentials(self._directory, name)
        return self._ensure(found, name, uri, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _ensure(
        self,
        found: Credentials,
        common_name: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
    ) -> Credentials:
        authority, authority_key = self._authority()
        if not self._usable(found, authority, names):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = (
                self._builder(common_name, key, CERTIFICATE_DAYS)
                .issuer_name(authority.subject)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.SubjectAlternativeName(names), critical=False)
                .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                .sign(authority_key, hashes.SHA256())
            )
            self._write(found, certificate, key)
        return found

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        path = self._directory / "ca.crt"
        key_path = self._directory / "ca.key"
        if self._files.exists(path) and self._files.exists(key_path):
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ConfigError(
                    f"{key_path}: not an elliptic curve key; was it put there by hand?"
                )
            return certificate, key
        if self._files.exists(path):
            raise ConfigError(
                f"{key_path}: missing, though {path} is there; put the key back, or remove "
                f"{self._directory} to start with a new authority (agents need new certificates)"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder("opentrail development authority", key, AUTHORITY_DAYS)
        certificate = (
            builder.issuer_name(_name("opentrail development authority"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_signs_certificates(), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write(Credentials(path, path, key_path), certificate, key)
        return certificate, key

    def _usable(
        self, found: Credentials, authority: x509.Certificate, names: list[x509.GeneralName]
    ) -> bool:
        if not (self._files.exists(found.certificate) and self._files.exists(found.key)):
            return False
        certificate = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        key = serialization.load_pem_private_key(found.key.read_bytes(), password=None)
        if _public(certificate.public_key()) != _public(key.public_key()):
            return False  # A crash between the two files: the pair is made again.
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        renew_at = certificate.not_valid_after_utc - datetime.timedelta(days=RENEW_BEFORE_DAYS)
        return (
            certificate.issuer == authority.subject
            and set(names) <= set(held)
            and self._now() < renew_at
        )

    def _builder(
        self, common_name: str, key: ec.EllipticCurvePrivateKey, days: int
    ) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def _write(
        self, place: Credentials, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._files.make_directory(self._directory)
        # `replace` makes its files with mode 0600 from their first byte on.
        self._files.replace(
            place.key,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        self._files.replace(place.certificate, certificate.public_bytes(serialization.Encoding.PEM))

    def _now(self) -> datetime.datetime:
        seconds = self._clock.now_ns() // 1_000_000_000
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def main() -> int:
    """Make the certificates of one home; what `certificates.make_certificates` runs."""
    parser = argparse.ArgumentParser(description="make a home's development certificates")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--agent", action="append", default=[], metavar="NAME")
    parser.add_argument("hosts", nargs="+", metavar="HOST")
    options = parser.parse_args()
    pki = DevelopmentPki(options.directory, SystemClock())
    try:
        pki.server(options.hosts)
        for name in options.agent:
            pki.agent(name)
    except (OpenTrailError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
