"""The real disk keeps the promises that the simulated one makes."""

from pathlib import Path

import pytest

from opentrail.errors import LockedError
from opentrail.files import DISK, FileLock


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    file = DISK.open_append(tmp_path / "a")
    file.write([b"ab", b"", b"cd"] + [b"x"] * 3000)
    file.datasync()
    assert (file.size, DISK.size(tmp_path / "a")) == (3004, 3004)
    assert DISK.read(tmp_path / "a", 1, 3) == b"bcd"
    file.truncate(2)
    file.write([b"!"])
    file.close()
    assert (tmp_path / "a").read_bytes() == b"ab!"


def test_a_replaced_file_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    DISK.replace(tmp_path / "a", b"old")
    DISK.replace(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert DISK.list(tmp_path) == ["a"]


def test_a_name_that_is_taken_is_not_given_again(tmp_path: Path) -> None:
    for name in ("staged", "other"):
        DISK.replace(tmp_path / name, name.encode())
    assert DISK.put_if_absent(tmp_path / "staged", tmp_path / "key")
    assert not DISK.put_if_absent(tmp_path / "other", tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == b"staged"


def test_a_lock_has_one_holder_and_names_it(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(LockedError, match="held by the living process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_missing_directory_lists_as_empty_and_parents_are_made(tmp_path: Path) -> None:
    assert DISK.list(tmp_path / "x") == []
    DISK.make_directory(tmp_path / "x" / "y")
    assert DISK.list(tmp_path / "x") == ["y"]
    DISK.unlink(tmp_path / "not-there")
