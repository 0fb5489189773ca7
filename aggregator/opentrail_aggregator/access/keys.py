"""Access keys: made, listed, disabled, deleted; secrets shown once and kept sealed.

SigV4 needs the secret itself, not a hash of it. So secrets lie in HOME/keys/keys.json sealed with
AES-256-GCM (the key id is authenticated with them) under HOME/keys/seal.key, which only its owner
may read. Whoever reads both files has the secrets; whoever reads a backup of keys.json has not.

    keys.json   {"format": 1, "keys": [{"id", "role", "accounts", "regions", "state", "created_at",
                 "note", "nonce", "sealed"}]}       replaced atomically
    seal.key    32 random bytes, mode 0600
    keys.lock   held while one process changes keys.json
"""

import base64
import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from opentrail.clock import Clock
from opentrail.errors import (
    DamagedError,
    LockedError,
    OpenTrailError,
    UsageError,
)
from opentrail.files import DISK, FileLock
from opentrail.formats import newer
from opentrail_aggregator.access.scope import ALLOWED, ROLES, Action, Role, Scope

FORMAT = 1
KEYS_MAX = 10_000
NOTE_MAX_CHARACTERS = 200
LOCK_SECONDS = 5.0
_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

State = Literal["active", "disabled"]


class AccessKeyError(OpenTrailError):
    """An access key is not there, or cannot be used."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key without its secret."""

    id: str
    role: Role
    scope: Scope
    state: State
    created_at: int
    """Seconds since 1970."""
    note: str = ""

    def may(self, action: Action) -> bool:
        """Whether its role allows `action`; a disabled key may nothing."""
        return self.state == "active" and action in ALLOWED[self.role]


class KeyStore:
    """The keys of one home folder. Reads again what another process changed."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory = directory
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._entries: dict[str, dict[str, Any]] = {}
        self._secrets: dict[str, str] = {}

    @property
    def path(self) -> Path:
        return self.directory / "keys.json"

    def create(self, role: str, scope: Scope, note: str = "") -> tuple[AccessKey, str]:
        """A new key and its secret, which is never shown again."""
        if role not in ROLES:
            raise UsageError(f"role {role!r} is not one of {', '.join(ROLES)}")
        if len(note) > NOTE_MAX_CHARACTERS or not note.isprintable():
            raise UsageError(f"a note has at most {NOTE_MAX_CHARACTERS} printable characters")
        with self._changing():
            return self._create(role, scope, note)

    def _create(self, role: str, scope: Scope, note: str) -> tuple[AccessKey, str]:
        if len(self._entries) >= KEYS_MAX:
            raise AccessKeyError(f"{self.path}: holds {KEYS_MAX} keys; delete some first")
        key_id = "OTAK" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16))
        secret = base64.b64encode(secrets.token_bytes(30)).decode()
        nonce = secrets.token_bytes(12)
        sealed = AESGCM(self._seal_key()).encrypt(nonce, secret.encode(), key_id.encode())
        self._entries[key_id] = {
            "id": key_id,
            "role": role,
            "accounts": list(scope.accounts),
            "regions": list(scope.regions),
            "state": "active",
            "created_at": self._clock.now_ns() // 1_000_000_000,
            "note": note,
            "nonce": base64.b64encode(nonce).decode(),
            "sealed": base64.b64encode(sealed).decode(),
        }
        self._save()
        return _key(self._entries[key_id]), secret

    def list(self) -> list[AccessKey]:
        """Every key, oldest first, without secrets."""
        self._refresh()
        return sorted(map(_key, self._entries.values()), key=lambda key: (key.created_at, key.id))

    def get(self, key_id: str) -> AccessKey | None:
        """The key of that id, also a disabled one."""
        self._refresh()
        entry = self._entries.get(key_id)
        return None if entry is None else _key(entry)

    def secret_of(self, key_id: str) -> str | None:
        """The secret of an active key, None if there is no such key or it is disabled."""
        key = self.get(key_id)
        if key is None or key.state != "active":
            return None
        if key_id not in self._secrets:
            self._secrets[key_id] = self._unseal(self._entries[key_id])
        return self._secrets[key_id]

    def set_state(self, key_id: str, state: State) -> AccessKey:
        """Enable or disable a key; it takes effect on the next request."""
        with self._changing():
            entry = self._entry(key_id)
            entry["state"] = state
            self._save()
            return replace(_key(entry), state=state)

    def delete(self, key_id: str) -> None:
        """Forget a key for good."""
        with self._changing():
            self._entry(key_id)
            del self._entries[key_id]
            self._save()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time reads, changes and writes."""
        DISK.make_directory(self.directory)
        os.chmod(self.directory, 0o700)
        lock = FileLock(self.directory / "keys.lock")
        until = self._clock.monotonic() + LOCK_SECONDS
        while True:
            try:
                lock.acquire()
                break
            except LockedError:
                if self._clock.monotonic() >= until:
                    raise
            self._clock.pause(0.02)
        try:
            self._refresh()
            yield
        finally:
            lock.release()

    def _entry(self, key_id: str) -> dict[str, Any]:
        if key_id not in self._entries:
            raise AccessKeyError(f"{key_id}: there is no such key; see `opentrail keys list`")
        return self._entries[key_id]

    def _refresh(self) -> None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._entries, self._secrets, self._seen = {}, {}, None
            return
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen == self._seen:
            return
        content = json.loads(self.path.read_bytes())
        if content["format"] > FORMAT:
            raise newer(self.path, content["format"], FORMAT)
        self._entries = {entry["id"]: entry for entry in content["keys"]}
        self._secrets = {}
        self._seen = seen

    def _save(self) -> None:
        content = {"format": FORMAT, "keys": list(self._entries.values())}
        DISK.replace(self.path, json.dumps(content, indent=1).encode())
        self._seen = None

    def _seal_key(self) -> bytes:
        path = self.directory / "seal.key"
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = secrets.token_bytes(32)
            DISK.replace(path, key)
        if len(key) != 32:
            raise DamagedError(
                f"{path}: {len(key)} bytes instead of 32; bring it back from a backup"
            )
        if path.stat().st_mode & 0o077:
            raise DamagedError(f"{path}: others may read it; `chmod 600 {path}`")
        return key

    def _unseal(self, entry: dict[str, Any]) -> str:
        try:
            secret = AESGCM(self._seal_key()).decrypt(
                base64.b64decode(entry["nonce"]),
                base64.b64decode(entry["sealed"]),
                entry["id"].encode(),
            )
        except InvalidTag:
            raise DamagedError(
                f"{self.path}: the secret of {entry['id']} was not sealed with {self.directory}"
                "/seal.key; bring both back from one backup, or make new keys"
            ) from None
        return secret.decode()


def _key(entry: dict[str, Any]) -> AccessKey:
    return AccessKey(
        entry["id"],
        entry["role"],
        Scope(tuple(entry["accounts"]), tuple(entry["regions"])),
        entry["state"],
        entry["created_at"],
        entry.get("note", ""),
    )
