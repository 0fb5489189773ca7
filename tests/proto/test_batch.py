"""A batch gives back its records byte for byte, or says what is wrong with it."""

import json
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from opentrail.batch import (
    HEAD_BYTES,
    BatchError,
    BatchHead,
    SourceRun,
    batch_events,
    batch_refused,
    batch_sources,
    digest_of,
    refused_item,
    seal_batch,
)
from opentrail.limits import BATCH_MAX_EVENTS, BATCH_MAX_RAW_BYTES, REFUSED_HEAD_BYTES

EVENTS = b'{"a": 1}\n{"b":"\\u00e9\\/","b":2}\n'
RUN = SourceRun(source="file:/a", account="1" * 12, region="eu-west-1", events=2, derived={1: "x"})


def test_records_come_back_byte_for_byte() -> None:
    payload = seal_batch(EVENTS, 2, [RUN], [])
    assert batch_events(payload) == EVENTS
    assert batch_sources(payload) == [RUN]
    assert batch_refused(payload) == []
    head = BatchHead.parse(payload)
    assert (head.events, head.refused, head.events_raw_bytes) == (2, 0, len(EVENTS))


def test_a_refusal_keeps_its_beginning_its_length_and_its_hash() -> None:
    data = b"\x00\xff" * REFUSED_HEAD_BYTES
    item = refused_item(data, source="file:/a", offset=5, reason="bad_utf8")
    payload = seal_batch(b"", 0, [SourceRun(source="file:/a", refused=1)], [item])
    [back] = batch_refused(payload)
    assert back.head == data[:REFUSED_HEAD_BYTES]
    assert (back.length, back.offset, back.sha256) == (len(data), 5, item.sha256)


def test_the_head_of_a_batch_is_what_the_format_says() -> None:
    payload = seal_batch(EVENTS, 2, [RUN], [])
    magic, events, refused, raw, zstd, refused_raw, refused_zstd, sources = struct.unpack_from(
        "<4s7I", payload
    )
    assert (magic, events, refused, raw, refused_raw, refused_zstd) == (b"OTB1", 2, 0, 32, 0, 0)
    assert json.loads(payload[HEAD_BYTES : HEAD_BYTES + sources])[0]["source"] == "file:/a"
    frame = payload[HEAD_BYTES + sources :]
    assert len(frame) == zstd
    assert zstandard.decompress(frame) == EVENTS


def forged(
    events: int = 1, raw: int = 10, body: bytes = b"", *, stated: int | None = None
) -> bytes:
    size = len(body) if stated is None else stated
    return struct.pack("<4s7I", b"OTB1", events, 0, raw, size, 0, 0, 2) + b"[]" + body


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "does not begin as a batch"),
        (b"OTB0" + bytes(40), "does not begin as a batch"),
        (forged(body=b"xx", stated=3), "states 37 bytes and has 36"),
        (forged(events=BATCH_MAX_EVENTS + 1), "limit 65535"),
        (forged(raw=BATCH_MAX_RAW_BYTES + 1), "before compression"),
    ],
)
def test_a_head_that_cannot_be_is_refused(payload: bytes, complaint: str) -> None:
    with pytest.raises(BatchError, match=complaint):
        BatchHead.parse(payload)


def test_a_zstd_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zstandard.compress(bytes(1 << 28))
    with pytest.raises(BatchError, match="states 268435456 bytes, its batch 10"):
        batch_events(forged(body=bomb))
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 28))
    with pytest.raises(BatchError):
        batch_events(forged(body=silent))


@given(st.binary(max_size=200))
def test_hostile_bytes_meet_only_a_batch_error(data: bytes) -> None:
    for payload in (data, forged(body=data)):
        for read in (BatchHead.parse, batch_events, batch_sources, batch_refused):
            try:
                read(payload)
            except BatchError:
                continue


def test_the_digest_tells_batches_apart() -> None:
    assert digest_of(b"a") != digest_of(b"b")
    assert len(digest_of(b"a")) == 16
