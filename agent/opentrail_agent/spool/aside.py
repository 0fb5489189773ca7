"""Batches that the aggregator will never take, set aside so that those behind them go on.

    SPOOL/set-aside/POSITION.batch    one line of JSON (Told), a line feed, the payload as it was

The file is durable before the next batch leaves. From then on, under the number of the batch, goes
a marker: no events and one refused item of reason `set_aside`, which the aggregator counts and a
person finds in the quarantine. A marker is made of what the file says and nothing else, so sending
it again sends the same bytes. Files stay until a person takes them away.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from opentrail.batch import SourceRun, digest_of, refused_item, seal_batch
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail.segment.frame import Frame
from opentrail.segment.reader import SegmentReader
from opentrail_agent.metrics import Metrics

FOLDER = "set-aside"
SUFFIX = ".batch"
SOURCE = "agent:spool"
_TOLD_MAX_BYTES = 4096
_FORMAT = 1


class Told(msgspec.Struct, kw_only=True):
    """The first line of a file."""

    format: int = _FORMAT
    position: int
    events: int
    refused: int
    bytes: int
    """Of the payload."""
    sha256: str
    """Of the payload."""
    reason: str
    """What the aggregator said."""
    at: int
    """Nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file."""

    path: Path
    told: Told

    def describe(self) -> str:
        return (
            f"{self.path}: {self.told.events} events and {self.told.refused} refusals in "
            f"{self.told.bytes} bytes: {self.told.reason}"
        )


def kept_aside(spool: Path, files: Files = DISK) -> Iterator[Kept]:
    """What is set aside in a spool's folder; a file that cannot be read is passed over."""
    directory = spool / FOLDER
    for name in files.list(directory):
        if name.endswith(SUFFIX):
            head = files.read(directory / name, 0, _TOLD_MAX_BYTES)
            line = head.partition(b"\n")[0]
            refuse_newer(directory / name, line, _FORMAT)
            try:
                told = msgspec.json.decode(line, type=Told)
            except msgspec.MsgspecError:
                continue
            yield Kept(directory / name, told)


class Aside:
    """The folder of one spool. Used by one thread at a time, but for `held_bytes` and `tell`."""

    def __init__(self, spool: Path, files: Files = DISK) -> None:
        self._spool = spool
        self._files = files
        self._kept = {each.told.position: each for each in kept_aside(spool, files)}

    @property
    def held_bytes(self) -> int:
        """On disk, about; they count as the spool's."""
        return sum(each.told.bytes for each in list(self._kept.values()))

    def take(self, reader: SegmentReader, position: int, reason: str, now_ns: int) -> bool:
        """Set the batch at `position` aside, durably; False if it is aside, or cannot be read."""
        frame = reader.read_one(position)
        if frame is None or self.marker(frame) is not None:
            return False
        told = Told(
            position=position, events=frame.events, refused=frame.refused,
            bytes=len(frame.payload), sha256=hashlib.sha256(frame.payload).hexdigest(),
            reason=reason[:500], at=now_ns,
        )  # fmt: skip
        path = self._spool / FOLDER / f"{position:020d}{SUFFIX}"
        self._files.make_directory(path.parent)
        self._files.replace(path, msgspec.json.encode(told) + b"\n" + frame.payload)
        self._kept[position] = Kept(path, told)
        return True

    def marker(self, frame: Frame) -> tuple[bytes, bytes] | None:
        """Digest and payload of what goes in place of `frame`; None if it is not aside."""
        kept = self._kept.get(frame.position)
        # A spool that lost its files may give a number again: then it is another batch.
        if kept is None or kept.told.sha256 != hashlib.sha256(frame.payload).hexdigest():
            return None
        item = refused_item(
            b"", source=SOURCE, offset=frame.position, length=kept.told.bytes,
            sha256=kept.told.sha256, reason="set_aside", detail=kept.describe(),
        )  # fmt: skip
        payload = seal_batch(b"", 0, [SourceRun(source=SOURCE, refused=1)], [item])
        return digest_of(payload), payload

    def tell(self, metrics: Metrics) -> None:
        """Say what is set aside, for as long as it lies there."""
        names = set(self._files.list(self._spool / FOLDER)) if self._kept else set()
        lying = [each for each in self._kept.values() if each.path.name in names]
        metrics.set("opentrail_agent_set_aside_batches", len(lying))
        if not lying:
            metrics.healed("set_aside")
            return
        metrics.problem(
            "set_aside",
            f"{len(lying)} batches were refused for good and are kept here; the first is "
            f"{lying[0].describe()}; see `opentrail-agent spool status`",
        )
