"""The archive as files: HOME/archive/BUCKET/KEY, what S3 keeps as metadata beside it.

    HOME/archive/BUCKET/KEY              the object, linked from its staged file
    HOME/archive-meta/BUCKET/KEY.json    size, checksum and user metadata

The metadata is written first: an object that is there always has it, and metadata without an object
means nothing. Only finished objects ever lie in the bucket's folder, so it can be copied, synced or
served at any time.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.archive.destination import (
    CONTENT_ENCODING,
    CONTENT_TYPE,
    METADATA_BYTES,
    METADATA_SHA256,
    DestinationError,
    ForeignObjectError,
    Listed,
    NoSuchObjectError,
    ObjectInfo,
)
from opentrail_aggregator.archive.gzip_member import NotOneMemberError, read_member
from opentrail_aggregator.archive.keys import check_bucket, check_key
from opentrail_aggregator.archive.manifest import MANIFEST_MAX_BYTES
from opentrail_aggregator.home import Home

_RECOMPUTED = frozenset((METADATA_SHA256, METADATA_BYTES))

VERSION = 1


class StoredMeta(msgspec.Struct, kw_only=True):
    """The file beside an object."""

    version: int = VERSION
    sha256: str
    bytes: int
    stored_bytes: int
    content_type: str = CONTENT_TYPE
    content_encoding: str = CONTENT_ENCODING
    metadata: dict[str, str] = {}


_decoder = msgspec.json.Decoder(StoredMeta)


class LocalDirectory:
    """A bucket that is a folder."""

    def __init__(self, home: Home, bucket: str, files: Files = DISK) -> None:
        check_bucket(bucket)
        self._bucket = bucket
        self._objects = home.archive / bucket
        self._meta = home.archive_meta / bucket
        self._files = files
        self._known_folders: set[Path] = set()

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def blocks(self) -> bool:
        return False

    def put_if_absent(self, key: str, staged: Path, info: ObjectInfo) -> bool:
        path, meta_path = self.path(key), self.meta_path(key)
        try:
            if not self._files.exists(path):
                self._make_folder(meta_path.parent)
                self._write_meta(meta_path, info)  # Before the object has its name.
                self._make_folder(path.parent)
                if self._files.put_if_absent(staged, path):
                    return True
            found = self._identify(key)
        except OSError as error:
            raise DestinationError(
                "disk", f"{path}: cannot be stored: {error.strerror or error}; it stays staged"
            ) from error
        if found != info.sha256:
            raise ForeignObjectError(str(path), info.sha256, found)
        return False

    def head(self, key: str) -> ObjectInfo | None:
        path = self.path(key)
        if not self._files.exists(path):
            return None
        try:
            meta_path = self.meta_path(key)
            content = self._files.read(meta_path, 0, self._files.size(meta_path))
            refuse_newer(meta_path, content, VERSION)
            meta = _decoder.decode(content)
        except (FileNotFoundError, msgspec.MsgspecError):
            # Someone copied the bucket without its metadata: only the object itself can tell.
            data = self._files.read(path, 0, self._files.size(path))
            sha256, size = measure(data)
            return ObjectInfo(sha256, size, len(data))
        return ObjectInfo(
            meta.sha256, meta.bytes, meta.stored_bytes, meta.metadata, meta.content_type,
            meta.content_encoding,
        )  # fmt: skip

    def read(self, key: str) -> bytes:
        path = self.path(key)
        try:
            return self._files.read(path, 0, self._files.size(path))
        except FileNotFoundError:
            raise NoSuchObjectError(f"{path}: there is no such object") from None

    def list(self, prefix: str = "", after: str = "") -> Iterator[Listed]:
        return self._walk(self._objects, "", prefix, after)

    def delete(self, key: str) -> None:
        self._files.unlink(self.path(key))
        self._files.unlink(self.meta_path(key))  # Second: an object always has its metadata.

    def path(self, key: str) -> Path:
        """Where the object lies; ValueError if the key could lead anywhere else."""
        return self._objects.joinpath(*check_key(key))

    def meta_path(self, key: str) -> Path:
        """Where its metadata lies."""
        *folders, name = check_key(key)
        return self._meta.joinpath(*folders, f"{name}.json")

    def _write_meta(self, path: Path, info: ObjectInfo) -> None:
        if info.metadata.keys() <= _RECOMPUTED:
            # All of it can be had from the object, so a power cut may have it: two syncs less.
            self._files.replace_volatile(path, _encode(info))
        else:
            self._files.replace(path, _encode(info))

    def _identify(self, key: str) -> str:
        """The checksum of what lies under a key that is taken.

        The metadata speaks for the object only if its size is right; else the object itself does.
        """
        info = self.head(key)
        path = self.path(key)
        if info is not None and info.stored_bytes == self._files.size(path):
            return info.sha256
        return measure(self._files.read(path, 0, self._files.size(path)))[0]

    def _make_folder(self, folder: Path) -> None:
        if folder not in self._known_folders:
            self._files.make_directory(folder)
            if len(self._known_folders) > 10_000:
                self._known_folders.clear()
            self._known_folders.add(folder)

    def _walk(self, folder: Path, base: str, prefix: str, after: str) -> Iterator[Listed]:
        """Keys below `folder` in the order of their bytes, as S3 lists them."""
        entries: list[tuple[str, os.DirEntry[str]]] = []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    entries.append((entry.name + ("/" if is_folder else ""), entry))
        except FileNotFoundError:
            return
        for name, entry in sorted(entries, key=lambda each: each[0]):
            key = base + name
            if name.endswith("/"):
                if not (key.startswith(prefix) or prefix.startswith(key)):
                    continue
                if key < after and not after.startswith(key):
                    continue
                yield from self._walk(folder / entry.name, key, prefix, after)
            elif key.startswith(prefix) and key > after and entry.is_file(follow_symlinks=False):
                yield Listed(key, entry.stat(follow_symlinks=False).st_size)


def _encode(info: ObjectInfo) -> bytes:
    return msgspec.json.encode(
        StoredMeta(
            sha256=info.sha256,
            bytes=info.bytes,
            stored_bytes=info.stored_bytes,
            content_type=info.content_type,
            content_encoding=info.content_encoding,
            metadata=info.metadata,
        )
    )


def measure(data: bytes) -> tuple[str, int]:
    """Checksum and size of the uncompressed bytes; ("", 0) if it is no gzip member."""
    try:
        raw = read_member(data, MANIFEST_MAX_BYTES)
    except NotOneMemberError:
        return "", 0
    return hashlib.sha256(raw).hexdigest(), len(raw)
