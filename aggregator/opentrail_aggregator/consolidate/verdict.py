"""Verdicts: what consolidate decided about each event of one log frame.

One verdict lies in the store `verdicts/` for every position of the log, under the same position;
control frames and frames that could not be read have an empty one. All per-event fields are packed
columns in the order of the batch's admitted lines, so that readers slice them with numpy or struct
and never loop where they need not:

    outcomes  1 byte  per event     KEPT, COPY, CONFLICT or REFUSED
    group_of  2 bytes per event     uint16 LE index into `groups`, 0xFFFF when not kept
    times     8 bytes per event     int64 LE seconds since 1970, zero when refused
    keys     16 bytes per event     the event key, zeros when refused
    hashes    8 bytes per event     the first 8 bytes of the SHA-256 of the record's bytes

What the agent itself refused is no event here; `refusals` has the keys by which it is known again.

A verdict never changes once it is durable: readers act on it at once.
"""

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from opentrail.files import DISK, Files
from opentrail.segment.cursor import published
from opentrail.segment.frame import Frame
from opentrail.segment.reader import SegmentReader

if TYPE_CHECKING:
    from opentrail_aggregator.home import Home

KEPT = 0
"""The first of its kind: index and archive hold it."""
COPY = 1
"""Equal to one that was kept before; counted, stored nowhere."""
CONFLICT = 2
"""Same key as one kept before, other content; in the quarantine."""
REFUSED = 3
"""Not admitted, or outside the agent's grant; in the quarantine."""

NO_GROUP = 0xFFFF
DURABLE_NAME = "durable"
"""Eight bytes in the store's directory: the position through which verdicts are durable."""


class Group(msgspec.Struct, array_like=True, frozen=True):
    """Where an event belongs: account, canonical region, hour (epoch seconds // 3600)."""

    account: str
    region: str
    hour: int


class Verdict(msgspec.Struct, array_like=True):
    """What became of the events in the log frame at `position`."""

    position: int
    events: int = 0
    """Admitted lines in the batch; the columns have this many entries."""
    outcomes: bytes = b""
    groups: list[Group] = []
    group_of: bytes = b""
    times: bytes = b""
    keys: bytes = b""
    derived: dict[int, str] = {}
    """Ordinal -> derived eventID, for records that carry none."""
    kept_total: int = 0
    """Cumulative since the log began, through this position; so are the next two."""
    copies_total: int = 0
    quarantined_total: int = 0
    """Conflicts, refused lines and what agents refused (refused items of batches), copies apart."""
    hashes: bytes = b""
    damage: str = ""
    """Why nothing is known of this frame; empty for every frame that could be read."""
    refusals: bytes = b""
    """16 bytes for each thing the agent refused: its key, zeros for a copy and for what has none;
    empty if there are only zeros."""

    def outcome_of(self, ordinal: int) -> int:
        """KEPT, COPY, CONFLICT or REFUSED."""
        return self.outcomes[ordinal]

    def group(self, ordinal: int) -> Group | None:
        """The group of an event, None when it is not kept."""
        (index,) = struct.unpack_from("<H", self.group_of, 2 * ordinal)
        return None if index == NO_GROUP else self.groups[index]

    def time(self, ordinal: int) -> int:
        """The event's time in epoch seconds."""
        (seconds,) = struct.unpack_from("<q", self.times, 8 * ordinal)
        return int(seconds)

    def key(self, ordinal: int) -> bytes:
        """The event's key of 16 bytes."""
        return self.keys[16 * ordinal : 16 * ordinal + 16]

    def kept(self) -> Iterator[tuple[int, Group]]:
        """Ordinal and group of every kept event."""
        if not self.groups:
            return
        indexes = struct.unpack(f"<{self.events}H", self.group_of)
        for ordinal, index in enumerate(indexes):
            if index != NO_GROUP:
                yield ordinal, self.groups[index]

    @property
    def all_kept(self) -> bool:
        """Every line of the batch is kept."""
        return not any(self.outcomes)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Verdict)


def encode_verdict(verdict: Verdict) -> bytes:
    """The payload of a verdict's frame."""
    return _encoder.encode(verdict)


def decode_verdict(payload: bytes) -> Verdict:
    """The verdict in a frame; msgspec.DecodeError if it is none."""
    return _decoder.decode(payload)


class VerdictReader:
    """Reads durable verdicts, from any process."""

    def __init__(self, home: "Home", files: Files = DISK) -> None:
        self._directory = home.verdicts
        self._reader = SegmentReader(home.verdicts, files)
        self.stopped_by = ""
        """Why `read` cannot go on, for health; empty while it can."""

    def consolidated_position(self) -> int:
        """The log position through which verdicts are durable, 0 if there is none yet."""
        return published(self._directory / DURABLE_NAME)

    def first_position(self) -> int:
        """The lowest position whose verdict is still on disk, 0 if there is none."""
        return self._reader.first_position()

    def read(self, after: int, max_bytes: int = 8 << 20) -> list[Verdict]:
        """Verdicts behind position `after`, in order, about `max_bytes` of them.

        A damaged verdict ends what is returned: `consolidate` writes verdicts anew only from a
        log that still holds their frames, so a reader stops and says so rather than pass by.
        """
        found: list[Verdict] = []
        for entry in self._reader.read(after, self.consolidated_position(), max_bytes):
            if not isinstance(entry, Frame):
                self.stopped_by = (
                    f"{entry.path}: no verdict for position {entry.first} can be read "
                    f"({entry.reason}); what reads verdicts waits before it: stop the aggregator, "
                    "move its verdicts folder away and start it again, they are made anew"
                )
                break
            self.stopped_by = ""
            found.append(decode_verdict(entry.payload))
        return found

    def last(self) -> Verdict | None:
        """The newest durable verdict: its totals are the room's figures."""
        position = self.consolidated_position()
        frame = self._reader.read_one(position) if position else None
        return decode_verdict(frame.payload) if frame else None
