"""Staged deliveries: what a cut made, durable before the first byte of it leaves.

    HOME/staging/deliveries/NAME.0.gz NAME.1.gz ...   objects, as they will be stored
    HOME/staging/deliveries/NAME.m.gz                 the manifest
    HOME/staging/deliveries/NAME.json                 what goes where; written last, removed first

NAME is the global log position of the cut and its place among the cuts there, so a cut made again
after a crash has the same name. Files without a NAME.json are of a cut that was never finished.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.archive.destination import ObjectInfo

FOLDER = "deliveries"
_INTENT = ".json"
FORMAT = 1


class StagedObject(msgspec.Struct, kw_only=True):
    """One file and the key it is for."""

    key: str
    file: str
    sha256: str
    bytes: int
    stored_bytes: int
    metadata: dict[str, str] = {}
    kms_key_id: str = ""
    """Of the trail, to encrypt it with at the destination."""

    @property
    def info(self) -> ObjectInfo:
        return ObjectInfo(
            self.sha256, self.bytes, self.stored_bytes, self.metadata, kms_key_id=self.kms_key_id
        )


class Delivery(msgspec.Struct, kw_only=True):
    """Objects and the manifest that goes after them."""

    format: int = FORMAT
    name: str
    trail: str
    bucket: str
    position: int
    """Global log position of the cut."""
    first_position: int
    """Of the first event in it: what may not be forgotten before this is delivered."""
    staged_at_ns: int
    events: int
    counted: int
    sequence: int
    objects: list[StagedObject]
    manifest: StagedObject
    validates: bool = True
    """It goes into a digest."""

    @property
    def stored_bytes(self) -> int:
        return self.manifest.stored_bytes + sum(each.stored_bytes for each in self.objects)


_decoder = msgspec.json.Decoder(Delivery)


class DeliveryFolder:
    """The deliveries on disk."""

    def __init__(self, staging: Path, files: Files = DISK) -> None:
        self.path = staging / FOLDER
        self._files = files

    def prepare(self) -> None:
        """Make the folder and clear what unfinished cuts left (the owner only, at its start)."""
        self._files.make_directory(self.path)
        names = self._files.list(self.path)
        kept = {each.removesuffix(_INTENT) for each in names if each.endswith(_INTENT)}
        for name in names:
            if not (name.endswith(_INTENT) or name.split(".")[0] in kept):
                self._files.unlink(self.path / name)

    def staged_path(self, file: str) -> Path:
        return self.path / file

    def read_staged(self, file: str) -> bytes:
        """The bytes of a staged file."""
        path = self.staged_path(file)
        return self._files.read(path, 0, self._files.size(path))

    def commit(self, delivery: Delivery) -> None:
        """Make the delivery durable; its files are already."""
        self._files.replace(self.path / f"{delivery.name}{_INTENT}", msgspec.json.encode(delivery))

    def remove(self, delivery: Delivery) -> None:
        """It was delivered: forget it. The intent first: files without one mean nothing."""
        self._files.unlink(self.path / f"{delivery.name}{_INTENT}")
        for each in (*delivery.objects, delivery.manifest):
            self._files.unlink(self.path / each.file)

    def read_all(self) -> Iterator[Delivery]:
        """Every delivery that is not done, in order of cutting; from any process."""
        for name in self._files.list(self.path):
            if not name.endswith(_INTENT):
                continue
            path = self.path / name
            try:
                content = self._files.read(path, 0, self._files.size(path))
                refuse_newer(path, content, FORMAT)
                yield _decoder.decode(content)
            except FileNotFoundError:
                continue  # Delivered between the listing and now.
            except msgspec.MsgspecError as error:
                raise DamagedError(
                    f"{path}: a staged delivery cannot be read ({error}); its objects lie beside "
                    "it, and the log, as long as it holds the cut, makes it again"
                ) from error
