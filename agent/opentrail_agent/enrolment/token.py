"""A join token as its bearer sees it: an id, a secret, and whose answer to believe."""

import base64
import binascii
import re
from dataclasses import dataclass

from opentrail.errors import UsageError

_ID = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class JoinToken:
    """otj1.ID.SECRET.FINGERPRINT"""

    text: str
    id: str
    fingerprint: str
    """SHA-256 of the authority's certificate, hexadecimal."""

    def __repr__(self) -> str:
        return f"JoinToken({self.id})"


def parse_token(text: str) -> JoinToken:
    """The parts of a token; UsageError, which tells nothing of it."""
    text = text.strip()
    parts = text.split(".")
    wrong = UsageError(
        "this is no join token: `opentrail-aggregator tokens create NAME` prints one, as "
        "otj1.ID.SECRET.FINGERPRINT; was it cut off?"
    )
    if len(parts) != 4 or parts[0] != "otj1" or not _ID.fullmatch(parts[1]):
        raise wrong
    try:
        fingerprint = base64.urlsafe_b64decode(parts[3] + "=" * (-len(parts[3]) % 4)).hex()
    except (binascii.Error, ValueError):
        raise wrong from None
    if len(fingerprint) != 64:
        raise wrong
    return JoinToken(text, parts[1], fingerprint)
