"""What every destination must do, as one suite; each implementation inherits it.

A subclass gives `destination`, and may give `spoil` to damage what is stored from outside.
"""

import gzip
import hashlib
from pathlib import Path

import pytest

from opentrail_aggregator.archive.destination import (
    Destination,
    ForeignObjectError,
    NoSuchObjectError,
    ObjectInfo,
)

ROOT = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/09/21"


def staged(folder: Path, content: bytes, name: str = "staged.gz", level: int = 6) -> Path:
    """A staged file of `content`."""
    path = folder / name
    path.write_bytes(gzip.compress(content, level, mtime=0))
    return path


def info_of(path: Path, **metadata: str) -> ObjectInfo:
    """What is to be stored beside it."""
    raw = gzip.decompress(path.read_bytes())
    return ObjectInfo(
        hashlib.sha256(raw).hexdigest(), len(raw), path.stat().st_size, dict(metadata)
    )


class DestinationContract:
    """The suite."""

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Destination:
        raise NotImplementedError

    @pytest.fixture
    def staging(self, tmp_path: Path) -> Path:
        folder = tmp_path / "staging"
        folder.mkdir()
        return folder

    def test_what_is_put_is_read_back(self, destination: Destination, staging: Path) -> None:
        path = staged(staging, b'{"Records":[]}')
        info = info_of(path, signature="00ff")
        assert destination.put_if_absent(f"{ROOT}/a.json.gz", path, info) is True
        assert destination.read(f"{ROOT}/a.json.gz") == path.read_bytes()
        head = destination.head(f"{ROOT}/a.json.gz")
        assert head is not None
        assert (head.sha256, head.bytes, head.stored_bytes) == (
            info.sha256, info.bytes, info.stored_bytes,
        )  # fmt: skip
        assert head.metadata["signature"] == "00ff"
        assert (head.content_type, head.content_encoding) == ("application/json", "gzip")

    def test_putting_the_same_again_is_done_already(
        self, destination: Destination, staging: Path
    ) -> None:
        path = staged(staging, b"one")
        assert destination.put_if_absent("k/a.gz", path, info_of(path))
        assert destination.put_if_absent("k/a.gz", path, info_of(path)) is False

    def test_the_same_content_compressed_otherwise_is_ours_and_stays_as_it_was(
        self, destination: Destination, staging: Path
    ) -> None:
        first = staged(staging, b"same" * 1000, level=1)
        other = staged(staging, b"same" * 1000, "other.gz", level=0)
        assert first.stat().st_size != other.stat().st_size
        destination.put_if_absent("k/a.gz", first, info_of(first))
        assert destination.put_if_absent("k/a.gz", other, info_of(other)) is False
        assert destination.read("k/a.gz") == first.read_bytes()
        head = destination.head("k/a.gz")
        assert head is not None
        assert head.stored_bytes == first.stat().st_size

    def test_a_key_taken_by_other_content_is_never_overwritten(
        self, destination: Destination, staging: Path
    ) -> None:
        first, other = staged(staging, b"first"), staged(staging, b"other", "other.gz")
        destination.put_if_absent("k/a.gz", first, info_of(first))
        with pytest.raises(ForeignObjectError, match="nothing was overwritten") as caught:
            destination.put_if_absent("k/a.gz", other, info_of(other))
        assert caught.value.holds
        assert destination.read("k/a.gz") == first.read_bytes()

    def test_what_is_not_there_is_said_to_be_not_there(self, destination: Destination) -> None:
        assert destination.head("k/none.gz") is None
        with pytest.raises(NoSuchObjectError):
            destination.read("k/none.gz")
        assert list(destination.list()) == []

    def test_a_listing_is_in_order_of_bytes_and_can_be_resumed(
        self, destination: Destination, staging: Path
    ) -> None:
        path = staged(staging, b"x")
        keys = ["a/b/2.gz", "a/b/10.gz", "a/b-c/1.gz", "a/c.gz", "a/b.gz", "z.gz", "a/B/1.gz"]
        for key in keys:
            destination.put_if_absent(key, path, info_of(path))
        assert [each.key for each in destination.list()] == sorted(keys)
        for prefix in ("a/", "a/b", "a/b/", "a/b/1", "q", "a/b/10.gz"):
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert [each.key for each in destination.list(prefix)] == expected
        for after in sorted(keys):
            expected = sorted(key for key in keys if key > after)
            assert [each.key for each in destination.list("", after)] == expected
        assert next(iter(destination.list("z"))).stored_bytes == path.stat().st_size

    def test_what_is_deleted_is_gone_and_can_be_deleted_again(
        self, destination: Destination, staging: Path
    ) -> None:
        path = staged(staging, b"x")
        destination.put_if_absent("k/a.gz", path, info_of(path))
        destination.delete("k/a.gz")
        destination.delete("k/a.gz")
        assert destination.head("k/a.gz") is None

    @pytest.mark.parametrize(
        "key", ["../a", "a/../../b", "/etc/passwd", "a//b", "a/./b", "", "a\0b", "a/" + "b" * 300]
    )
    def test_a_key_that_leads_elsewhere_is_refused(
        self, destination: Destination, staging: Path, key: str
    ) -> None:
        path = staged(staging, b"x")
        with pytest.raises(ValueError, match="no key"):
            destination.put_if_absent(key, path, info_of(path))
