"""What was delivered and is in no digest yet.

    HOME/digest/inbox/LOG-NAME.json     one delivery: its objects, with checksums and times

Written when a delivery is complete and before the archive forgets it; a delivery that is made again
after a crash writes the same file. Removed once the digest that lists it is where it belongs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.archive.deliveries import Delivery
from opentrail_aggregator.archive.gzip_member import read_member
from opentrail_aggregator.archive.manifest import MANIFEST_MAX_BYTES, decode_summary
from opentrail_aggregator.digest.document import LogFile
from opentrail_aggregator.digest.names import root_of
from opentrail_aggregator.digest.unvalidated import note_unvalidated

_SUFFIX = ".json"
VERSION = 1


class ChainId(NamedTuple):
    """Whose digests follow each other."""

    trail: str
    """The trail's ARN."""
    account: str
    region: str


class Delivered(msgspec.Struct, kw_only=True, frozen=True):
    """One delivery."""

    version: int = VERSION
    name: str
    trail: str
    account: str
    region: str
    root: str
    """Of its keys: what stands before the account."""
    bucket: str
    delivered_at_ns: int
    files: list[LogFile]

    @property
    def chain(self) -> ChainId:
        return ChainId(self.trail, self.account, self.region)

    @property
    def delivered_at_s(self) -> int:
        return self.delivered_at_ns // 1_000_000_000


class Inbox:
    """Its owner, the archive's process, keeps it in memory too; others read the folder."""

    def __init__(self, directory: Path, files: Files = DISK) -> None:
        self.directory = directory
        self._files = files
        self._entries: dict[str, Delivered] | None = None

    @property
    def entries(self) -> list[Delivered]:
        """All of it, in order of delivery."""
        return sorted(self._load().values(), key=lambda each: (each.delivered_at_ns, each.name))

    def put(self, entry: Delivered) -> None:
        """Make it durable; nothing happens if it is there."""
        entries = self._load()
        if entry.name not in entries:
            self._files.make_directory(self.directory)
            self._files.replace(self._path(entry.name), msgspec.json.encode(entry))
            entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """It is in a digest."""
        self._files.unlink(self._path(name))
        self._load().pop(name, None)

    def take_note(self, delivery: Delivery, manifest: bytes) -> None:
        """Put a delivery of the archive, given the stored bytes of its manifest."""
        if delivery.validates:
            self.put(of_delivery(delivery, manifest))
        else:
            note_unvalidated(self.directory.parent, delivery, self._files)

    def _load(self) -> dict[str, Delivered]:
        if self._entries is None:
            self._entries = {each.name: each for each in read_all(self.directory, self._files)}
        return self._entries

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}{_SUFFIX}"


def read_all(directory: Path, files: Files = DISK) -> Iterator[Delivered]:
    """What waits, from any process."""
    for name in files.list(directory):
        if not name.endswith(_SUFFIX):
            continue
        path = directory / name
        try:
            content = files.read(path, 0, files.size(path))
            refuse_newer(path, content, VERSION)
            yield msgspec.json.decode(content, type=Delivered)
        except FileNotFoundError:
            continue  # It went into a digest between the listing and now.
        except msgspec.MsgspecError as error:
            raise DamagedError(
                f"{path}: cannot be read ({error}); its objects are in the archive and will be "
                "in no digest; move the file away, `opentrail verify` then names them"
            ) from error


def of_delivery(delivery: Delivery, manifest: bytes) -> Delivered:
    """What a digest needs of a delivery."""
    summary = decode_summary(read_member(manifest, MANIFEST_MAX_BYTES))
    return Delivered(
        name=f"{summary.log_id[:16]}-{delivery.name}",
        trail=summary.trail,
        account=summary.account,
        region=summary.region,
        root=root_of(delivery.objects[0].key),
        bucket=delivery.bucket,
        delivered_at_ns=summary.cut.delivered_at_ns,
        files=[
            LogFile(
                s3Bucket=delivery.bucket,
                s3Object=entry.key,
                hashValue=entry.sha256,
                newestEventTime=entry.newest_event_time,
                oldestEventTime=entry.oldest_event_time,
            )
            for entry in summary.objects
        ],
    )
