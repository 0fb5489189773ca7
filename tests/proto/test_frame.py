"""A frame is returned whole and right, or not at all."""

import pytest

from opentrail.errors import LimitError, NewerFormatError
from opentrail.limits import FRAME_MAX_BYTES
from opentrail.segment.frame import (
    HEADER_BYTES,
    FrameError,
    Kind,
    decode_frame,
    encode_frame,
    next_valid,
)

FIRST = b"".join(encode_frame(Kind.BATCH, 7, b"payload", meta=b"m", events=3, refused=1, synced=9))
SECOND = b"".join(encode_frame(Kind.CONTROL, 8, b"{}", appended_at_ns=-5))
WHOLE = FIRST + SECOND


def test_a_frame_comes_back_as_it_went_in() -> None:
    frame, end, synced = decode_frame(WHOLE, 0)
    assert (frame.kind, frame.position, frame.payload, frame.meta) == (
        Kind.BATCH,
        7,
        b"payload",
        b"m",
    )
    assert (frame.events, frame.refused, end, synced) == (3, 1, len(FIRST), 9)
    second, end, _ = decode_frame(WHOLE, end)
    assert (second.appended_at_ns, end) == (-5, len(WHOLE))


def test_the_bytes_of_a_frame_are_what_the_format_says() -> None:
    # Golden: a change here is a change of every file on every disk.
    assert SECOND.hex() == (
        "e94b014b"  # checksum
        "02000000"
        "00000000"  # length, meta length
        "02"
        "01"
        "0000"  # kind, version, zero
        "0800000000000000"
        "fbffffffffffffff"  # position, appended at
        "00000000"
        "00000000"
        "00000000"  # events, refused, synced
        "7b7d"
    )


@pytest.mark.parametrize("cut", range(len(FIRST) + 1, len(WHOLE)))
def test_a_frame_cut_short_is_torn(cut: int) -> None:
    with pytest.raises(FrameError) as caught:
        decode_frame(WHOLE[:cut], len(FIRST))
    assert caught.value.torn


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("position", range(len(FIRST), len(WHOLE)))
def test_a_frame_with_a_flipped_bit_is_never_returned(position: int, bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[position] ^= 1 << bit
    with pytest.raises(FrameError):
        decode_frame(bytes(damaged), len(FIRST))


def test_zeros_never_read_as_a_frame() -> None:
    with pytest.raises(FrameError):
        decode_frame(bytes(4096), 0)


def test_a_frame_larger_than_the_limit_is_not_made() -> None:
    with pytest.raises(LimitError, match="FRAME_MAX_BYTES"):
        encode_frame(Kind.BATCH, 1, bytes(FRAME_MAX_BYTES + 1))
    assert encode_frame(Kind.BATCH, 1, bytes(FRAME_MAX_BYTES))


def test_a_frame_of_a_later_version_is_refused_with_advice() -> None:
    import zlib

    later = bytearray(SECOND)
    later[13] = 2
    later[:4] = zlib.crc32(later[4:]).to_bytes(4, "little")
    with pytest.raises(NewerFormatError, match="use the version of OpenTrail that wrote it"):
        decode_frame(bytes(later), 0)


@pytest.mark.parametrize("garbage", [0, 1, 3, HEADER_BYTES, 1000])
def test_the_next_frame_is_found_behind_garbage(garbage: int) -> None:
    assert next_valid(b"\x01" * garbage + SECOND, 0) == garbage
    assert next_valid(b"\x01\x01\x00\x00" * garbage, 0) is None
