"""Paging tokens that belong to the question they were given for.

base64url( 8 bytes digest of the parameters | the place to go on )
"""

import base64
import hashlib
import json
from typing import Any

DIGEST_BYTES = 8
TOKEN_MAX_CHARACTERS = 4000


def write_token(parameters: Any, place: str) -> str:
    """A token for going on at `place`."""
    return base64.urlsafe_b64encode(_digest(parameters) + place.encode()).decode()


def read_token(parameters: Any, token: str) -> str:
    """The place in `token`; ValueError if it is none of ours or of other parameters."""
    if len(token) > TOKEN_MAX_CHARACTERS:
        raise ValueError("it is too long")
    raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    if raw[:DIGEST_BYTES] != _digest(parameters):
        raise ValueError("it belongs to other parameters")
    return raw[DIGEST_BYTES:].decode()


def _digest(parameters: Any) -> bytes:
    text = json.dumps(parameters, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
