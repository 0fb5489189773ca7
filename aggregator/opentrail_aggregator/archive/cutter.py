"""Cutting: parts become objects and a manifest, staged and durable, in small steps.

What comes out follows from the parts and the position of the cut alone. `Cut.step` writes one
object, the last one the manifest; only then do the parts close and the chain of the trail go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from opentrail.crash import crash_point
from opentrail.files import Files
from opentrail_aggregator.archive.deliveries import Delivery, DeliveryFolder, StagedObject
from opentrail_aggregator.archive.destination import METADATA_BYTES, METADATA_SHA256
from opentrail_aggregator.archive.gzip_member import Member, MemberWriter, RecordsWriter
from opentrail_aggregator.archive.keys import PartKey, hour_text, object_key, time_text, unique_name
from opentrail_aggregator.archive.manifest import (
    Cut,
    Manifest,
    ObjectEntry,
    Previous,
    encode_manifest,
    manifest_key,
)
from opentrail_aggregator.archive.marks import Marks
from opentrail_aggregator.archive.parts import OpenPart
from opentrail_aggregator.archive.reporters import Reporters
from opentrail_aggregator.archive.staging.slices import deltas
from opentrail_aggregator.archive.staging.store import Staging
from opentrail_aggregator.archive.trails import Trail, Trails

_SECOND = 1_000_000_000


@dataclass(slots=True)
class ChainHead:
    """The last manifest of a trail."""

    sequence: int = 0
    key: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be cut, and at which point of the log."""

    name: str
    position: int
    delivered_at_ns: int
    reason: str
    parts: tuple[PartKey, ...]
    """Of one trail, account and region."""


class Cutter:
    """Makes deliveries of parts."""

    def __init__(
        self,
        staging: Staging,
        folder: DeliveryFolder,
        trails: Trails,
        reporters: Reporters,
        chains: dict[str, ChainHead],
        files: Files,
        level: int,
        marks: Marks | None = None,
        follows: Sequence[str] = (),
        read_through: Callable[[], int] = lambda: 0,
    ) -> None:
        """`read_through` is the last frame of which all events are in parts or were cut."""
        self.staging = staging
        self.chains = chains
        self._folder = folder
        self._trails = trails
        self._reporters = reporters
        self._files = files
        self._level = level
        self._marks = marks or Marks()
        self._follows = list(follows)
        self._read_through = read_through

    def steps(self, order: Order, now_ns: int) -> Iterator[Delivery | None]:
        """Do it: None after each object, the delivery at the end; nothing if all was empty."""
        found = [self.staging.find(key) for key in order.parts]
        parts = [part for part in found if part is not None and part.events]
        if not parts:
            return
        key = parts[0].key
        trail = self._trails.by_arn(key.trail)
        objects: list[StagedObject] = []
        entries: list[ObjectEntry] = []
        for part in sorted(parts, key=lambda each: each.key):
            file = f"{order.name}.{len(objects)}.gz"
            staged, entry = self._write(part, order, trail, file)
            objects.append(staged)
            entries.append(entry)
            yield None
        head = self.chains.setdefault(trail.arn, ChainHead())
        manifest = self._manifest(order, key, entries, head, self._through(parts))
        if not trail.validates:
            manifest.log_file_validation = False
        staged_manifest = self._write_manifest(manifest, order, trail)
        delivery = Delivery(
            name=order.name,
            trail=trail.arn,
            bucket=trail.bucket,
            position=order.position,
            first_position=min(part.first for part in parts),
            staged_at_ns=now_ns,
            events=manifest.events,
            counted=sum(entry.counted for entry in entries),
            sequence=manifest.sequence,
            objects=objects,
            manifest=staged_manifest,
            validates=trail.validates,
        )
        self._folder.commit(delivery)
        self.adopt(delivery, parts)
        crash_point("archive.staged")
        yield delivery

    def _through(self, cut: list[OpenPart]) -> int:
        """The frame through which everything is in objects once this cut is delivered."""
        firsts = (part.first for part in self.staging.parts.values() if part not in cut)
        return min((self._read_through(), *((first >> 16) - 1 for first in firsts)))

    def adopt(self, delivery: Delivery, parts: list[OpenPart]) -> None:
        """The cut is durable: close its parts and go on with the chain."""
        self._marks.forget_before(self._through(parts))
        for part in parts:
            self.staging.close_part(part)
        self.chains[delivery.trail] = ChainHead(
            delivery.sequence, delivery.manifest.key, delivery.manifest.sha256
        )

    def _write(
        self, part: OpenPart, order: Order, trail: Trail, file: str
    ) -> tuple[StagedObject, ObjectEntry]:
        key = part.key
        path = self._folder.staged_path(file)
        self._files.unlink(path)  # Of a cut that a crash stopped half-way.
        output = self._files.open_append(path)
        writer = RecordsWriter(output, self._level)
        positions: list[Any] = []
        derived: dict[int, str] = {}
        events = 0
        try:
            for piece in self.staging.slices(part):
                writer.write_lines(piece.text())
                positions.append(piece.positions)
                derived.update({events + i: each for i, each in piece.derived.items()})
                events += piece.events
            member = writer.finish()
            output.datasync()  # Before the intent that names it.
        finally:
            output.close()
        assert events == part.events
        steps = deltas(np.concatenate(positions))
        missing = self._reporters.missing(key.account, key.region, key.hour, order.delivered_at_ns)
        object_name = object_key(
            trail.prefix, key.account, key.folder, key.region, order.delivered_at_ns,
            unique_name(
                self.staging.log_id, trail.arn, key.account, key.region, key.hour, key.folder,
                part.first, part.last,
            ),
            trail.organization,
        )  # fmt: skip
        entry = ObjectEntry(
            key=object_name,
            sha256=member.sha256,
            bytes=member.bytes,
            events=events,
            counted=part.counted,
            folder=key.folder,
            hour=hour_text(key.hour),
            oldest_event_time=time_text(part.oldest),
            newest_event_time=time_text(part.newest),
            first_position=part.first,
            last_position=part.last,
            positions=steps,
            derived=derived,
            complete=not missing,
            missing=missing,
        )
        return _staged(object_name, file, member, trail), entry

    def _manifest(
        self,
        order: Order,
        key: PartKey,
        entries: list[ObjectEntry],
        head: ChainHead,
        archived_through: int,
    ) -> Manifest:
        marks = self._marks
        until_ns = marks.time_ns(archived_through)
        missing = sorted({name for entry in entries for name in entry.missing})
        return Manifest(
            log_id=self.staging.log_id,
            follows=self._follows,
            trail=key.trail,
            account=key.account,
            region=key.region,
            sequence=head.sequence + 1,
            previous=Previous(key=head.key, sha256=head.sha256) if head.sequence else None,
            archived_through=archived_through,
            archived_until=time_text(until_ns // _SECOND) if until_ns else None,
            cut=Cut(
                position=order.position,
                reason=order.reason,
                delivered_at=time_text(order.delivered_at_ns // _SECOND),
                delivered_at_ns=order.delivered_at_ns,
            ),
            complete=not missing,
            missing=missing,
            events=sum(entry.events for entry in entries),
            objects=entries,
            agents=[
                msgspec.structs.replace(
                    each, archived_through=marks.number(each.agent, each.epoch, archived_through)
                )
                for each in self._reporters.entries(key.account, key.region)
            ],
        )

    def _write_manifest(self, manifest: Manifest, order: Order, trail: Trail) -> StagedObject:
        file = f"{order.name}.m.gz"
        path = self._folder.staged_path(file)
        self._files.unlink(path)
        output = self._files.open_append(path)
        try:
            writer = MemberWriter(output, self._level)
            writer.write(encode_manifest(manifest))
            member = writer.finish()
            output.datasync()
        finally:
            output.close()
        key = manifest_key(trail.prefix, manifest, trail.organization)
        return _staged(key, file, member, trail)


def _staged(key: str, file: str, member: Member, trail: Trail) -> StagedObject:
    return StagedObject(
        key=key,
        file=file,
        sha256=member.sha256,
        bytes=member.bytes,
        stored_bytes=member.stored_bytes,
        metadata={METADATA_SHA256: member.sha256, METADATA_BYTES: str(member.bytes)},
        kms_key_id=trail.kms_key_id,
    )
