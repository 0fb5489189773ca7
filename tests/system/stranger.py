"""An agent nobody wrote: it speaks the protocol by hand, so it can say what ours never would.

Messages are put together from field numbers (proto/opentrail/v1/ingest.proto) and batches from
their published layout (docs/formats.md), without the product's code.  It uses a certificate that
the installation made for its own agent.
"""

import hashlib
import json
import os
import queue
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
import zstandard

HELLO, BATCH, HEARTBEAT = 1, 2, 3
ANSWERS = {1: "welcome", 2: "acknowledge", 3: "refusal"}
REFUSALS = {
    1: "GAP", 2: "FORK", 3: "TOO_LARGE", 4: "BAD_CHECKSUM", 5: "FULL", 6: "WRONG_LOG",
    7: "NOT_ALLOWED", 8: "BAD_PROTOCOL", 9: "MALFORMED",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    kind: str
    fields: dict[int, int | bytes]

    @property
    def code(self) -> str:
        return REFUSALS.get(int(self.fields.get(1, 0)), "UNSPECIFIED")


class Stranger:
    """One stream to ingest; `epoch` and `sequence` are what the caller says they are."""

    def __init__(self, home: Path, address: str, name: str | None = None) -> None:
        certificate = next(iter(sorted((home / "pki").glob("agent-*.crt"))))
        self.name = name or certificate.stem.removeprefix("agent-")
        self.epoch = os.urandom(16)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._channel = grpc.secure_channel(
            address,
            grpc.ssl_channel_credentials(
                (home / "pki" / "ca.crt").read_bytes(),
                certificate.with_suffix(".key").read_bytes(),
                certificate.read_bytes(),
            ),
            options=[("grpc.max_send_message_length", -1)],
        )
        # Without serialisers, messages go and come as the bytes they are.
        ship: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(
            "/opentrail.v1.Ingest/Ship"
        )
        self._call = ship(iter(self._outgoing.get, None), timeout=60)
        self._answers: Iterator[bytes] = iter(self._call)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._outgoing.put(None)
        self._call.cancel()
        self._channel.close()

    def say_hello(self, next_sequence: int = 1, protocol: int = 1) -> Answer:
        hello = (
            number(1, protocol) + content(2, self.name.encode()) + content(3, self.epoch)
            + number(4, next_sequence) + content(6, b"0") + content(7, b"stranger")
        )  # fmt: skip
        self._outgoing.put(content(HELLO, hello))
        return self.answer()

    def send(self, sequence: int, payload: bytes, digest: bytes | None = None) -> Answer:
        """Send one batch and return what is answered to it."""
        self.send_batch(sequence, payload, digest)
        return self.answer()

    def send_batch(self, sequence: int, payload: bytes, digest: bytes | None = None) -> None:
        """Send one batch and do not wait."""
        right = hashlib.blake2b(payload, digest_size=16).digest()
        batch = number(1, sequence) + content(2, digest or right) + content(3, payload)
        self._outgoing.put(content(BATCH, batch))

    def send_raw(self, message: bytes) -> None:
        self._outgoing.put(message)

    def answer(self) -> Answer:
        """The next message from the other side; grpc.RpcError when it ended the stream."""
        message = next(self._answers)
        [(field, value)] = fields_of(message).items()
        assert isinstance(value, bytes)
        return Answer(ANSWERS[field], fields_of(value))


def batch(lines: list[bytes], **changes: int) -> bytes:
    """A batch of `lines`; `changes` put other numbers into its head than the true ones."""
    events = b"".join(line + b"\n" for line in lines)
    packed = zstandard.ZstdCompressor().compress(events)
    return assemble(packed, len(lines), len(events), **changes)


def bomb(raw_bytes: int) -> bytes:
    """A small batch whose events decompress to `raw_bytes`, while its head says 1 kB."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    piece = b" " * (1 << 20)
    packed = b"".join(compressor.compress(piece) for _ in range(raw_bytes >> 20))
    return assemble(packed + compressor.flush(), 1, 1000)


def assemble(packed: bytes, count: int, raw_bytes: int, **changes: int) -> bytes:
    run = {"source": "stranger:", "account": "", "region": "", "events": count, "refused": 0}
    sources = json.dumps([run]).encode()
    head = {
        "events": count, "refused": 0, "events_raw": raw_bytes, "events_zstd": len(packed),
        "refused_raw": 0, "refused_zstd": 0, "sources": len(sources),
    } | changes  # fmt: skip
    return struct.pack("<4s7I", b"OTB1", *head.values()) + sources + packed


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def content(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields_of(message: bytes) -> dict[int, int | bytes]:
    """Field number to value; of a repeated field the last, which is enough here."""
    found: dict[int, int | bytes] = {}
    position = 0

    def read() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        tag = read()
        if tag & 7 == 0:
            found[tag >> 3] = read()
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            length = read()
            found[tag >> 3] = message[position : position + length]
            position += length
    return found
