"""A cursor holds the state before the last write or the one it wrote, never anything else."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.errors import LimitError
from opentrail.limits import CURSOR_MAX_BYTES
from opentrail.segment.cursor import CursorFile
from tests.fakes.disk import PowerCut, SimulatedDisk

PLACE = Path("/cursor")


def test_a_state_comes_back(tmp_path: Path) -> None:
    cursor = CursorFile(tmp_path / "c")
    assert cursor.read() is None
    for state in (b"one", b"two", b"three"):
        cursor.write(state)
        assert CursorFile(tmp_path / "c").read() == state


def test_one_damaged_slot_leaves_the_state_before(tmp_path: Path) -> None:
    path = tmp_path / "c"
    cursor = CursorFile(path)
    cursor.write(b"one")
    cursor.write(b"two")
    data = bytearray(path.read_bytes())
    data[17] ^= 1  # Generation 2 lies in the first slot.
    path.write_bytes(bytes(data))
    assert CursorFile(path).read() == b"one"


@pytest.mark.parametrize("content", [b"", bytes(8192), b"\xff" * 8192, b"short"])
def test_a_file_without_a_valid_slot_reads_as_none_and_says_so(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "c"
    path.write_bytes(content)
    cursor = CursorFile(path)
    assert cursor.read() is None
    assert cursor.damaged == bool(content)


def test_a_state_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    cursor = CursorFile(tmp_path / "c")
    cursor.write(bytes(CURSOR_MAX_BYTES))
    with pytest.raises(LimitError):
        cursor.write(bytes(CURSOR_MAX_BYTES + 1))


@given(seed=st.integers(0, 1 << 32), writes=st.integers(1, 6), cut=st.integers(0, 20))
def test_a_power_cut_leaves_the_state_before_or_after(seed: int, writes: int, cut: int) -> None:
    disk = SimulatedDisk()
    cursor = CursorFile(PLACE, disk)
    cursor.write(b"0")
    disk.operations_until_cut = cut
    done = 0
    try:
        for number in range(1, writes + 1):
            cursor.write(b"%d" % number)
            done = number
    except PowerCut:
        disk.power_cut(random.Random(seed))
    assert CursorFile(PLACE, disk).read() in (b"%d" % done, b"%d" % (done + 1))
