"""A PKI whose authority, keys and certificates are changed under a running installation.

What cert-manager or Vault would do to the files: a new authority is believed beside the old one,
then signs both sides, then is the only one. Key and certificate are two files, so for a moment they
do not fit.
"""

import datetime
import ipaddress
import os
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

GAP_SECONDS = 0.05
"""For so long a key and its certificate do not fit."""


class Rotation:
    """Changes one thing every `every` seconds while inside."""

    def __init__(self, pki: Path, agent: str, every: float) -> None:
        self._pki = pki
        self._agent = agent
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rotation")
        self._authority = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
        self.changes = 0
        self.authorities = 0
        self.trouble: BaseException | None = None

    def __enter__(self) -> "Rotation":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.trouble is not None:
            raise self.trouble

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._take_turns()
        except BaseException as error:
            self.trouble = error

    def _take_turns(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority {self.authorities}")]
        )
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        new = (
            _builder(name, name, key)
            .add_extension(constraints, critical=True)
            .sign(key, hashes.SHA256())
        )
        old, self._authority = self._authority, new
        self._put("ca.crt", _pem(new) + _pem(old))
        self._pause()
        server: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"),
        ]  # fmt: skip
        self._renew("server", server, name, key)
        agent: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(f"opentrail://agent/{self._agent}")
        ]
        self._renew(f"agent-{self._agent}", agent, name, key)
        self._put("ca.crt", _pem(new))
        self.authorities += 1
        self._pause()

    def _renew(
        self, stem: str, names: list[x509.GeneralName], issuer: x509.Name,
        signing: ec.EllipticCurvePrivateKey,
    ) -> None:  # fmt: skip
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, stem)])
        certificate = (
            _builder(subject, issuer, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(signing, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )  # fmt: skip
        self._put(f"{stem}.key", secret)
        self._stop.wait(GAP_SECONDS)
        self._put(f"{stem}.crt", _pem(certificate))
        self._pause()

    def _put(self, name: str, content: bytes) -> None:
        staged = self._pki / f".{name}.new"
        staged.touch(mode=0o600)
        staged.write_bytes(content)
        os.replace(staged, self._pki / name)

    def _pause(self) -> None:
        self.changes += 1
        self._stop.wait(self._every)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
