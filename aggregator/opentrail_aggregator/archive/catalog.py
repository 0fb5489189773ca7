"""What lies in the archive: objects and manifests by time, account and region, and the records in
them with their derived ids and log positions.

Everything is read from the destination itself; nothing here writes. `lookup` finds one record by
its log position, for consolidate, when the log no longer holds it.
"""

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from opentrail.errors import DamagedError
from opentrail.formats import newer, refuse_newer
from opentrail.identity import event_key
from opentrail.record import Admitted, admit
from opentrail_aggregator.archive.destination import Destination, Listed, NoSuchObjectError
from opentrail_aggregator.archive.gzip_member import (
    OBJECT_MAX_BYTES,
    NotOneMemberError,
    read_member,
)
from opentrail_aggregator.archive.keys import MANIFEST_FOLDER, hour_text, read_key
from opentrail_aggregator.archive.manifest import (
    MANIFEST_MAX_BYTES,
    VERSION,
    Manifest,
    ManifestSummary,
    ObjectEntry,
    decode_manifest,
    decode_summary,
)
from opentrail_aggregator.archive.once import Once
from opentrail_aggregator.archive.staging.slices import undeltas
from opentrail_aggregator.consolidate.verdict import Group


class _Records(msgspec.Struct):
    Records: list[msgspec.Raw]


_records_decoder = msgspec.json.Decoder(_Records)


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    """One record as it was kept."""

    position: int
    """Global log position: frame << 16 | ordinal."""
    line: bytes
    derived_id: str
    account: str
    region: str
    """The canonical one."""
    hour: int


class Catalog:
    """A reader of one bucket. `roots` are where in it objects lie (`roots_of`), asked each time;
    without it, below the prefix."""

    def __init__(
        self,
        destination: Destination,
        prefix: str = "",
        roots: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self.destination = destination
        self.root = f"{prefix}/AWSLogs/" if prefix else "AWSLogs/"
        self._roots = roots or (lambda: (self.root,))
        self._last: tuple[str, list[bytes]] = ("", [])
        self._places = _Places(self)

    def listed(self, account: str = "", folder: str = "", region: str = "") -> Iterator[Listed]:
        """Keys of log objects and manifests in order; a given part narrows it from the left."""
        wanted = "".join(f"{part}/" for part in _leading(account, folder, region))
        for root in sorted(self._roots()):
            for each in self.destination.list(root + wanted):
                parts = read_key(each.key)
                if parts is None or f"{parts.root}/" != root:
                    continue
                if folder in ("", parts.folder) and region in ("", parts.region):
                    yield each

    def manifest_keys(self, account: str = "", region: str = "") -> Iterator[str]:
        """Keys of manifests in order."""
        return (each.key for each in self.listed(account, MANIFEST_FOLDER, region))

    def summary(self, key: str) -> ManifestSummary:
        """A manifest without positions, derived ids and agents."""
        found: ManifestSummary = self._decode(key, decode_summary)
        return found

    def manifest(self, key: str) -> Manifest:
        """A whole manifest."""
        found: Manifest = self._decode(key, decode_manifest)
        return found

    def read(self, key: str) -> bytes:
        """The uncompressed bytes of a log object or manifest; DamagedError if it is not whole."""
        return inflate_member(key, self.destination.read(key))

    def records(self, entry: ObjectEntry) -> Iterator[ArchivedRecord]:
        """The records of an object with positions and derived ids, checked against the manifest."""
        lines = self._lines(entry.key, entry.sha256)
        positions = undeltas(entry.positions).tolist()
        if len(lines) != entry.events or len(positions) != entry.events:
            raise DamagedError(
                f"{entry.key}: {len(lines)} records and {len(positions)} positions, its manifest "
                f"says {entry.events}"
            )
        parts = read_key(entry.key)
        assert parts is not None
        hour = hour_of_text(entry.hour)
        for ordinal, (line, position) in enumerate(zip(lines, positions, strict=True)):
            yield ArchivedRecord(
                position, line, entry.derived.get(ordinal, ""), parts.account, parts.region, hour
            )

    def all_records(
        self,
        after: int = 0,
        through: int | None = None,
        log_ids: Collection[str] = (),
        removed_before_ns: int = 0,
    ) -> Iterator[tuple[Manifest, ArchivedRecord]]:
        """Every record in order of cutting, one object in memory; for rebuilding an index.

        What several trails delivered comes once: of the trail that counts it.

        With `log_ids`, of those logs only those at global positions behind `after` and not behind
        `through`: objects that hold none of them are not opened. Other logs' records all come.
        Objects delivered before `removed_before_ns` were removed by archive.retention.
        """
        order = []
        once = Once(self.manifest)
        for key in self.manifest_keys():
            found = self.summary(key)
            if found.cut.delivered_at_ns < removed_before_ns:
                continue
            once.know(key, found)
            order.append((found.cut.delivered_at_ns, found.trail, found.sequence, key))
        for _, _, _, key in sorted(order):
            manifest = self.manifest(key)
            bounded = manifest.log_id in log_ids
            for entry in manifest.objects:
                if once.is_nothing(entry) or (bounded and not _overlaps(entry, after, through)):
                    continue
                repeated = once.elsewhere(manifest, entry)
                for record in self.records(entry):
                    if record.position in repeated:
                        continue
                    if not bounded or _is_between(record.position, after, through):
                        yield manifest, record

    def lookup(self, position: int, group: Group, key: bytes) -> bytes | None:
        """The record kept at a global log position, None if the archive does not hold it (yet).

        `key` is the event's key; a record that has another one is not returned. The region of
        `group` does not matter: a copy of an event may say another one.
        """
        for manifest_key, place in self._places.find(group.account, group.hour, position):
            try:
                entry = self.manifest(manifest_key).objects[place]
                positions: list[int] = undeltas(entry.positions).tolist()
                if position not in positions:
                    continue
                ordinal = positions.index(position)
                line = self._lines(entry.key, entry.sha256)[ordinal]
            except (DamagedError, NoSuchObjectError):
                continue  # Removed by retention, or damaged: `verify` says which.
            if has_key(line, entry.derived.get(ordinal, ""), group, key):
                return line
        return None

    def _decode(self, key: str, decode: Any) -> Any:
        data = self.read(key)
        try:
            manifest = decode(data)
            if manifest.version > VERSION:
                raise newer(f"{self.destination.bucket}/{key}", manifest.version, VERSION)
            return manifest
        except msgspec.MsgspecError as error:
            refuse_newer(f"{self.destination.bucket}/{key}", data, VERSION)
            raise DamagedError(f"{key}: is no manifest: {error}") from error

    def _lines(self, key: str, sha256: str) -> list[bytes]:
        if self._last[0] != key:
            data = self.read(key)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise DamagedError(f"{key}: its content is not what its manifest says (sha256)")
            self._last = (key, split_records(key, data))
        return self._last[1]


class _Places:
    """Where which log positions of an account lie; made at the first question, then kept up."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._seen: set[str] = set()
        self._by_hour: dict[tuple[str, str], list[tuple[int, int, str, int]]] = {}

    def find(self, account: str, hour: int, position: int) -> list[tuple[str, int]]:
        """Manifest and place in it of each object that could hold the position."""
        for key in self._catalog.manifest_keys(account):
            if key in self._seen:
                continue
            try:
                summary = self._catalog.summary(key)
            except DamagedError:
                continue
            self._seen.add(key)
            for place, entry in enumerate(summary.objects):
                self._by_hour.setdefault((account, entry.hour), []).append(
                    (entry.first_position, entry.last_position, key, place)
                )
        return [
            (key, place)
            for first, last, key, place in self._by_hour.get((account, hour_text(hour)), [])
            if first <= position <= last
        ]


def _leading(*parts: str) -> list[str]:
    """Those before the first empty one."""
    return list(itertools.takewhile(bool, parts))


def _overlaps(entry: ObjectEntry, after: int, through: int | None) -> bool:
    return entry.last_position > after and (through is None or entry.first_position <= through)


def _is_between(position: int, after: int, through: int | None) -> bool:
    return position > after and (through is None or position <= through)


def has_key(line: bytes, derived_id: str, group: Group, key: bytes) -> bool:
    """Whether the record is the event of that key."""
    admitted = admit(line, group.account, group.region, derived_id)
    return isinstance(admitted, Admitted) and key == event_key(
        group.account, admitted.event_id, group.hour
    )


def split_records(key: str, data: bytes) -> list[bytes]:
    """The records of an uncompressed object, byte for byte."""
    try:
        return [bytes(raw) for raw in _records_decoder.decode(data).Records]
    except msgspec.MsgspecError as error:
        raise DamagedError(f"{key}: is no object of records: {error}") from error


def inflate_member(key: str, stored: bytes) -> bytes:
    """The content of exactly one whole gzip member; DamagedError otherwise."""
    is_manifest = f"/{MANIFEST_FOLDER}/" in key
    try:
        return read_member(stored, MANIFEST_MAX_BYTES if is_manifest else OBJECT_MAX_BYTES)
    except NotOneMemberError as error:
        raise DamagedError(f"{key}: {error}") from error


def hour_of_text(text: str) -> int:
    """The inverse of `hour_text`."""
    admitted = admit(b'{"eventTime":"%s"}' % text.encode(), "0" * 12, "x", "x")
    if not isinstance(admitted, Admitted):
        raise DamagedError(f"{text!r} is no time")
    return admitted.time_s // 3600


__all__ = ["ArchivedRecord", "Catalog", "NoSuchObjectError"]
