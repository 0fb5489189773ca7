"""The authority of one home: signs requests of agents; made by `ca init` or `opentrail up`.

A certificate carries one name (SAN URI opentrail://agent/NAME) and is good for client
authentication only. Of a request only its key is taken: names, dates and uses are decided here.

This module loads `cryptography`, which takes long: import it where something is signed.
"""

import datetime
import hashlib
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from opentrail.clock import Clock
from opentrail.errors import ConfigError, UsageError

AGENT_URI = "opentrail://agent/"
REQUEST_MAX_CHARACTERS = 8192
_BACKDATED_SECONDS = 300.0
"""For agents whose clock is a little behind; of short lives a tenth."""


class Authority:
    """Signs; reads its files each time, so that a new authority counts at once."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._certificate_path = directory / "ca.crt"
        self._key_path = directory / "ca.key"
        self._clock = clock

    @property
    def bundle(self) -> str:
        """Everything agents shall believe, PEM; the first one signs."""
        try:
            return self._certificate_path.read_text()
        except FileNotFoundError:
            raise ConfigError(
                f"{self._certificate_path}: there is no authority here; make one with "
                "`opentrail-aggregator ca init`"
            ) from None

    def sign(self, request: x509.CertificateSigningRequest, name: str, life: float) -> str:
        """A certificate for the key of `request`, PEM."""
        authority = x509.load_pem_x509_certificate(self.bundle.encode())
        now = datetime.datetime.fromtimestamp(self._clock.now_ns() // 10**9, datetime.UTC)
        names = [x509.UniformResourceIdentifier(AGENT_URI + name)]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(authority.subject)
            .public_key(request.public_key())
            .serial_number(secrets.randbits(152) | 1 << 151)
            .not_valid_before(now - datetime.timedelta(seconds=min(_BACKDATED_SECONDS, life / 10)))
            .not_valid_after(min(now + datetime.timedelta(seconds=life),
                                 authority.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key(), hashes.SHA256())
        )  # fmt: skip
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issued(self, certificate: str) -> bool:
        """Whether an authority in the bundle signed this certificate."""
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        for each in x509.load_pem_x509_certificates(self.bundle.encode()):
            try:
                leaf.verify_directly_issued_by(each)
                return True
            except (ValueError, TypeError, InvalidSignature):
                continue  # Not by this one; there may be another.
        return False

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            content = self._key_path.read_bytes()
        except FileNotFoundError:
            raise ConfigError(
                f"{self._key_path}: the authority's key is not here, so nothing can be signed; "
                "bring it back from a backup, or let your own PKI renew certificates"
            ) from None
        key = serialization.load_pem_private_key(content, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{self._key_path}: not an elliptic curve key")
        return key


def read_request(text: str) -> tuple[x509.CertificateSigningRequest, str]:
    """A request whose bearer has its key, and the SHA-256 of that key; UsageError if it is none."""
    if len(text) > REQUEST_MAX_CHARACTERS:
        raise UsageError(
            f"a certificate request of {len(text)} characters, limit {REQUEST_MAX_CHARACTERS}"
        )
    try:
        request = x509.load_pem_x509_csr(text.encode())
        is_signed = request.is_signature_valid
        key = request.public_key()
    except Exception as error:  # The parser's errors are of many kinds.
        raise UsageError(f"not a certificate request: {type(error).__name__}") from None
    if not is_signed:
        raise UsageError("the certificate request is not signed with its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise UsageError("the key of a certificate request has to be of the curve P-256")
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return request, hashlib.sha256(der).hexdigest()
