"""What is written in an X.509 certificate, as far as both roles ask: serial, dates, names' owner.

Only for certificates that TLS, or the one who made them, has verified already: this reads, it
proves nothing. It spares both roles a library that takes longer to load than all the rest.
"""

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from opentrail.errors import DamagedError

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_INTEGER, _SEQUENCE, _VERSION, _UTC_TIME = 0x02, 0x30, 0xA0, 0x17


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate."""

    serial: str
    """Hexadecimal, lower case, without leading zeros."""
    not_before: int
    not_after: int
    """Seconds since 1970."""
    fingerprint: str
    """SHA-256 over the DER, hexadecimal."""

    @property
    def life(self) -> int:
        """Seconds from its first to its last."""
        return self.not_after - self.not_before


def facts_of(pem: str) -> CertificateFacts:
    """Of the first certificate in `pem`; DamagedError if there is none that can be read."""
    found = certificates_in(pem)
    if not found:
        raise DamagedError("there is no certificate in this PEM text")
    try:
        return _facts(ssl.PEM_cert_to_DER_cert(found[0]))
    except (ValueError, IndexError) as error:
        raise DamagedError(f"not a certificate that can be read: {error}") from None


def certificates_in(pem: str) -> list[str]:
    """Every certificate of a PEM text, each as PEM; keys and whatever else is there left out."""
    pieces = pem.split(_BEGIN)[1:]
    return [f"{_BEGIN}{piece.partition(_END)[0]}{_END}\n" for piece in pieces if _END in piece]


def fingerprint_of(pem: str) -> str:
    """SHA-256 of one certificate, as `openssl x509 -fingerprint -sha256` without colons."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def _facts(der: bytes) -> CertificateFacts:
    (certificate,) = _values(der, 0, len(der), 1)
    (body,) = _values(der, *certificate[1:], 1)
    fields = _values(der, *body[1:], 6)
    if fields[0][0] == _VERSION:
        fields = fields[1:]
    tag, start, end = fields[0]
    if tag != _INTEGER:
        raise ValueError("no serial number where it has to be")
    serial = int.from_bytes(der[start:end], "big", signed=True)
    # serial, signature, issuer, validity
    before, after = _values(der, *fields[3][1:], 2)
    return CertificateFacts(
        f"{serial:x}",
        _seconds(before[0], der[before[1] : before[2]]),
        _seconds(after[0], der[after[1] : after[2]]),
        hashlib.sha256(der).hexdigest(),
    )


def _values(der: bytes, start: int, end: int, most: int) -> list[tuple[int, int, int]]:
    """Tag, first and last of the first values between `start` and `end`."""
    found = []
    for each in _walk(der, start, end):
        found.append(each)
        if len(found) == most:
            break
    return found


def _walk(der: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    while start < end:
        tag, length, place = der[start], der[start + 1], start + 2
        if length & 0x80:
            size = length & 0x7F
            length, place = int.from_bytes(der[place : place + size], "big"), place + size
        if place + length > end:
            raise ValueError("a length leads beyond its end")
        yield tag, place, place + length
        start = place + length


def _seconds(tag: int, text: bytes) -> int:
    """YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ; the only forms that certificates may have."""
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("20" if int(digits[:2]) < 50 else "19") + digits
    moment = datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return int(moment.timestamp())
