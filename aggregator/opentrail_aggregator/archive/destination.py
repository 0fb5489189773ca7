"""What the archive needs of the place it delivers to; a local directory and S3 keep it alike.

One key holds one object for ever: it is put if absent, and a key that is taken is ours only if the
SHA-256 of the *uncompressed* bytes stored beside it is the one we bring. So a put can be repeated
after any doubt (a timeout after success, a crash, an archive made again from the log).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from opentrail.errors import OpenTrailError

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "gzip"
METADATA_SHA256 = "opentrail-sha256"
METADATA_BYTES = "opentrail-bytes"
"""User metadata of every object: checksum and size of the uncompressed bytes."""


class DestinationError(OpenTrailError):
    """A delivery did not happen; it stays staged and is tried again.

    `reason` is a short word for counters; `holds` says that trying soon is of no use: an operator
    has to do something first, and the message says what.
    """

    def __init__(self, reason: str, message: str, *, holds: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.holds = holds


class ForeignObjectError(DestinationError):
    """The key is taken by something that is not ours. It is never overwritten."""

    def __init__(self, key: str, expected: str, found: str) -> None:
        super().__init__(
            "foreign",
            f"{key}: the key is taken by other content (sha256 of the uncompressed bytes "
            f"{found or 'unknown'}, ours {expected}); nothing was overwritten: look at who wrote "
            "it, and move it away if it does not belong there",
            holds=True,
        )
        self.key = key


class NoSuchObjectError(OpenTrailError):
    """There is no object under that key."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is stored beside an object."""

    sha256: str
    """Of the uncompressed bytes."""
    bytes: int
    """Uncompressed."""
    stored_bytes: int
    metadata: dict[str, str] = field(default_factory=dict)
    """User metadata (x-amz-meta-...), for example the signature of a digest."""
    content_type: str = CONTENT_TYPE
    content_encoding: str = CONTENT_ENCODING
    kms_key_id: str = ""
    """Where the destination can: encrypted with this key instead of what its settings say."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a listing."""

    key: str
    stored_bytes: int


class Destination(Protocol):
    """A bucket. Every method may be called from several threads at once."""

    @property
    def bucket(self) -> str: ...

    @property
    def blocks(self) -> bool:
        """Whether calls can take long, so that they belong into threads of their own."""
        ...

    def put_if_absent(self, key: str, staged: Path, info: ObjectInfo) -> bool:
        """Store the file; True if it was stored now, False if the same content was there.

        Durable when this returns. Raises DestinationError or ForeignObjectError.
        """
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What is stored beside the object, None if there is no object."""
        ...

    def read(self, key: str) -> bytes:
        """The object as stored; NoSuchObjectError if there is none."""
        ...

    def list(self, prefix: str = "", after: str = "") -> Iterator[Listed]:
        """Keys that begin with `prefix` and are greater than `after`, in order of their bytes."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object (retention only); nothing happens if it is gone."""
        ...
