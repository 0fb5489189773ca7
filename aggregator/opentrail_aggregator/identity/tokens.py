"""Join tokens: short-lived, counted, for names of one pattern, with a grant; hashed at rest.

    otj1.ID.SECRET.FINGERPRINT

The id names it in lists and logs, the secret is known to its bearer only (HOME/identity/tokens.json
has its SHA-256: 192 random bits need no slow hash), and the fingerprint is that of the authority,
so that the agent knows at its first connection whether it speaks to the right one.

An agent that asks again with the same key (its answer was lost) is the same use.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError, UsageError
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.identity.kept import KeptFile

PREFIX = "otj1"
USES_MAX = 10_000
LIFE_MAX_SECONDS = 7 * 86400
TOKENS_MAX = 1_000
KEEP_SECONDS = 7 * 86400
"""How long a token that has run out is still listed."""
_PATTERN = re.compile(r"[A-Za-z0-9*?][A-Za-z0-9._@*?-]{0,127}", re.ASCII)
_SECOND = 1_000_000_000


class TokenRefusedError(OpenTrailError):
    """A join token does not let this agent in; the text never tells a secret."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a join token."""

    id: str
    names: str
    """Pattern of the agent names it is for."""
    scope: Scope
    uses: int
    used: int
    expires_at: int
    replaces: bool
    """It may also enrol a name that is in use."""
    revoked: bool

    def state(self, now: int) -> str:
        """`revoked`, `expired`, `used up` or `open`."""
        if self.revoked:
            return "revoked"
        if now >= self.expires_at:
            return "expired"
        return "used up" if self.used >= self.uses else "open"


class TokenStore:
    """The join tokens of one home."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._file = KeptFile(directory / "tokens.json", clock)
        self._clock = clock

    def create(
        self,
        names: str,
        scope: Scope,
        *,
        fingerprint: str,
        uses: int = 1,
        life_seconds: float = 3600,
        replaces: bool = False,
    ) -> str:
        """A new token; its text is never shown again."""
        if _PATTERN.fullmatch(names) is None:
            raise UsageError(f"{names!r} is no pattern of agent names: letters, digits, ._@- * ?")
        if not 1 <= uses <= USES_MAX:
            raise UsageError(f"--uses {uses} is not from 1 to {USES_MAX}")
        if not 0 < life_seconds <= LIFE_MAX_SECONDS:
            raise UsageError(f"--life {life_seconds:g} s is not within 7d; make a new one later")
        token_id, secret = secrets.token_hex(5), secrets.token_urlsafe(24)
        now = self._now()
        with self._file.changing() as entries:
            for key in [key for key, each in entries.items() if _is_old(each, now)]:
                del entries[key]
            if len(entries) >= TOKENS_MAX:
                raise UsageError(f"{self._file.path}: holds {TOKENS_MAX} tokens; let some run out")
            entries[token_id] = {
                "secret_sha256": _hash(secret),
                "names": names,
                "accounts": list(scope.accounts),
                "regions": list(scope.regions),
                "uses": uses,
                "used_by": [],
                "created_at": now,
                "expires_at": now + int(life_seconds),
                "replaces": replaces,
                "revoked": False,
            }
        pinned = base64.urlsafe_b64encode(bytes.fromhex(fingerprint)).decode().rstrip("=")
        return f"{PREFIX}.{token_id}.{secret}.{pinned}"

    def list(self) -> list[Token]:
        """Every token, the newest first."""
        entries = self._file.entries()
        newest = sorted(entries, key=lambda key: -int(entries[key]["created_at"]))
        return [_token(key, entries[key]) for key in newest]

    def revoke(self, token_id: str) -> None:
        """Let nobody in by it any more; who is in, stays in."""
        with self._file.changing() as entries:
            if token_id not in entries:
                raise UsageError(f"{token_id}: there is no such token; see `tokens list`")
            entries[token_id]["revoked"] = True

    def is_open(self, token_id: str) -> bool:
        """Whether somebody may still come by the token of that id."""
        entry = self._file.entries().get(token_id)
        return entry is not None and _token(token_id, entry).state(self._now()) in (
            "open",
            "used up",  # Its last use may be asked for once more.
        )

    def redeem(
        self, text: str, name: str, key_sha256: str, allow: Callable[[Token], None]
    ) -> Token:
        """One use of a token by the bearer of a key; TokenRefusedError says why not.

        `allow` may raise it too; then the use is not counted.
        """
        parts = text.split(".")
        if len(parts) != 4 or parts[0] != PREFIX or not all(each.isascii() for each in parts):
            raise TokenRefusedError("this is no join token: they are otj1.ID.SECRET.FINGERPRINT")
        token_id, secret = parts[1], parts[2]
        with self._file.changing() as entries:
            entry = entries.get(token_id)
            known = entry["secret_sha256"] if entry else _hash("")
            is_right = hmac.compare_digest(known, _hash(secret))
            if entry is None or not is_right:
                raise TokenRefusedError("this join token is not known here")
            token, now = _token(token_id, entry), self._now()
            if not fnmatchcase(name, token.names):
                raise TokenRefusedError(
                    f"token {token_id} is for agents named {token.names}, not {name[:128]!r}"
                )
            is_again = [name, key_sha256] in entry["used_by"]
            state = token.state(now)
            if state != "open" and not (state == "used up" and is_again):
                raise TokenRefusedError(
                    f"token {token_id} is {state}: make a new one with "
                    "`opentrail-aggregator tokens create`"
                )
            allow(token)
            if not is_again:
                entry["used_by"].append([name, key_sha256])
        return token

    def _now(self) -> int:
        return self._clock.now_ns() // _SECOND


def _token(token_id: str, entry: dict[str, Any]) -> Token:
    return Token(
        token_id,
        entry["names"],
        Scope(tuple(entry["accounts"]), tuple(entry["regions"])),
        entry["uses"],
        len(entry["used_by"]),
        entry["expires_at"],
        entry["replaces"],
        entry["revoked"],
    )


def _is_old(entry: dict[str, Any], now: int) -> bool:
    return bool(now - int(entry["expires_at"]) > KEEP_SECONDS)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
