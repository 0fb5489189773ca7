"""One thing in quarantine, as it is kept and shown.

    frame of kind ITEM:  meta     log position u64 | number u32 | events u32
                         payload  JSON: an Item, or a Replayed

`events` in the frame is what the item counts in the sums: 1, or all events of a batch that cannot
be opened. A Replayed mark counts nothing and names items that were submitted again.
"""

import base64
import hashlib
import struct

import msgspec

META = struct.Struct("<QII")


class Item(msgspec.Struct, kw_only=True, tag="item"):
    """See the docs on the quarantine for what each reason means."""

    id: str
    """`POSITION-NUMBER`: the log position, and a number within the frame."""
    position: int
    ordinal: int
    """The line in its batch; -1 for what the agent refused and for whole frames."""
    reason: str
    detail: str = ""
    agent: str = ""
    source: str = ""
    offset: int = 0
    """Where in its source; of an admitted line, where its source's part of the batch begins."""
    length: int = 0
    """Of the whole, which may be longer than `bytes`."""
    sha256: str = ""
    """Of the whole."""
    bytes: str = ""
    """Base64 of its beginning, at most `quarantine.item_max_bytes` of it."""
    account: str = ""
    region: str = ""
    derived: str = ""
    """The derived eventID, for a record without one."""
    key: str = ""
    """Hex of what it is known by if the agent sends it again; empty if nothing can be."""
    events: int = 1
    at: int = 0
    """When it came into the log: nanoseconds since 1970."""

    @property
    def content(self) -> "bytes_":
        """The bytes that were kept."""
        return base64.b64decode(self.bytes)

    @property
    def is_whole(self) -> bool:
        """Nothing of it was cut off."""
        return len(self.content) == self.length


class Replayed(msgspec.Struct, kw_only=True, tag="replayed"):
    """Items that were submitted again, as a new batch."""

    ids: list[str]
    position: int
    """Of the control frame that says so."""
    at: int


bytes_ = bytes
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Item | Replayed)


def item_of(data: bytes, limit: int, **fields: object) -> Item:
    """An item of `data`, cut at `limit`, with length and hash of the whole."""
    return Item(
        length=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=base64.b64encode(data[:limit]).decode(),
        **fields,  # type: ignore[arg-type]
    )


def encode_item(item: Item | Replayed) -> tuple[bytes, bytes]:
    """Meta and payload of its frame."""
    if isinstance(item, Replayed):
        return META.pack(item.position, 0, 0), _encoder.encode(item)
    number = int(item.id.rpartition("-")[2])
    return META.pack(item.position, number, item.events), _encoder.encode(item)


def decode_item(payload: bytes) -> Item | Replayed:
    """What a frame holds; msgspec.MsgspecError if neither."""
    decoded: Item | Replayed = _decoder.decode(payload)
    return decoded
