"""The keys that sign digests: one RSA-2048 key per region, made on first use, a new one each month.

    HOME/keys/digest/REGION/FINGERPRINT.pem    private, PKCS#8, mode 0600; written first
    HOME/keys/digest/REGION/FINGERPRINT.json   public half and validity

    valid    |-- a day --|---------- 30 days: signs ----------|-- a day --|
    the next key                               |-- a day --|------ signs ...

A key's fingerprint is the MD5 of its PKCS#1 DER bytes, as AWS has it: a name, not a protection.
A KMS or an HSM takes the place of `FileKeys` by the two protocols.
"""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer

VERSION = 1
KEY_BITS = 2048
ROTATE_SECONDS = 30 * 86400
OVERLAP_SECONDS = 86400


class PublicKey(msgspec.Struct, kw_only=True, frozen=True):
    """What anybody may know of a key."""

    version: int = VERSION
    region: str
    fingerprint: str
    value: str
    """PKCS#1 DER, base64."""
    valid_from: int
    valid_until: int

    @property
    def der(self) -> bytes:
        return base64.b64decode(self.value)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is this key's over `data`."""
        key = serialization.load_der_public_key(self.der)
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


class SigningKey(Protocol):
    """A private key, wherever it lies."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256."""
        ...


class DigestKeys(Protocol):
    """Whoever keeps the keys."""

    def key_for(self, region: str, at_s: int) -> SigningKey:
        """The key that signs what ends at `at_s`; made if there is none."""
        ...

    def public_keys(
        self, region: str, start_s: int | None = None, end_s: int | None = None
    ) -> list[PublicKey]:
        """Keys of the region that were valid at some time from start to end, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class _FileKey:
    public: PublicKey
    private: rsa.RSAPrivateKey

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


class FileKeys:
    """Keys in files. `key_for` has one caller, the digester; the rest may be asked by anybody."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self.directory = directory
        self._files = files
        self._loaded: dict[str, _FileKey] = {}

    def key_for(self, region: str, at_s: int) -> SigningKey:
        for public in reversed(self.public_keys(region)):
            signs_until = public.valid_until - OVERLAP_SECONDS
            if public.valid_from <= at_s < signs_until:
                return self._load(public)
        return self._make(region, at_s)

    def public_keys(
        self, region: str, start_s: int | None = None, end_s: int | None = None
    ) -> list[PublicKey]:
        folder = self.directory / region
        found = []
        for name in self._files.list(folder):
            if not name.endswith(".json"):
                continue
            path = folder / name
            content = self._files.read(path, 0, self._files.size(path))
            refuse_newer(path, content, VERSION)
            try:
                key = msgspec.json.decode(content, type=PublicKey)
            except msgspec.MsgspecError as error:
                raise DamagedError(
                    f"{path}: is no public key ({error}); bring HOME/keys back from a backup"
                ) from error
            if start_s is not None and key.valid_until < start_s:
                continue
            if end_s is not None and key.valid_from > end_s:
                continue
            found.append(key)
        return sorted(found, key=lambda key: (key.valid_from, key.fingerprint))

    def _make(self, region: str, at_s: int) -> _FileKey:
        private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        der = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        )
        public = PublicKey(
            region=region,
            fingerprint=fingerprint_of(der),
            value=base64.b64encode(der).decode(),
            valid_from=at_s - OVERLAP_SECONDS,
            valid_until=at_s + ROTATE_SECONDS + OVERLAP_SECONDS,
        )
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        folder = self.directory / region
        self._files.make_directory(folder)
        if self._files is DISK:
            os.chmod(self.directory, 0o700)
        self._files.replace(folder / f"{public.fingerprint}.pem", pem)
        self._files.replace(folder / f"{public.fingerprint}.json", msgspec.json.encode(public))
        self._loaded[public.fingerprint] = _FileKey(public, private)
        return self._loaded[public.fingerprint]

    def _load(self, public: PublicKey) -> _FileKey:
        if public.fingerprint not in self._loaded:
            path = self.directory / public.region / f"{public.fingerprint}.pem"
            try:
                pem = self._files.read(path, 0, self._files.size(path))
                private: Any = serialization.load_pem_private_key(pem, None)
            except (OSError, ValueError) as error:
                raise DamagedError(
                    f"{path}: the private key of digests cannot be read ({error}); bring it back "
                    f"from a backup, or remove the .json beside it and a new key is made"
                ) from error
            self._loaded[public.fingerprint] = _FileKey(public, private)
        return self._loaded[public.fingerprint]


def fingerprint_of(der: bytes) -> str:
    """The name of a public key in PKCS#1 DER."""
    return hashlib.md5(der, usedforsecurity=False).hexdigest()


def public_key_list(keys: list[PublicKey]) -> dict[str, Any]:
    """The answer to CloudTrail's ListPublicKeys: all in one page, since the AWS CLI reads one."""
    return {
        "PublicKeyList": [
            {
                "Value": key.value,
                "ValidityStartTime": key.valid_from,
                "ValidityEndTime": key.valid_until,
                "Fingerprint": key.fingerprint,
            }
            for key in keys
        ]
    }
