"""The local directory keeps the destination contract, and what only files can go wrong with."""

from pathlib import Path

import pytest

from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.home import Home
from tests.aggregator.archive.destination_contract import DestinationContract, info_of, staged


class TestLocalDirectory(DestinationContract):
    @pytest.fixture
    def destination(self, tmp_path: Path) -> Destination:
        return LocalDirectory(Home(tmp_path), "opentrail")

    def test_metadata_lies_beside_the_bucket_and_not_in_it(
        self, destination: Destination, staging: Path, tmp_path: Path
    ) -> None:
        path = staged(staging, b"x")
        destination.put_if_absent("k/a.gz", path, info_of(path))
        bucket = tmp_path / "archive" / "opentrail"
        assert [str(p.relative_to(bucket)) for p in bucket.rglob("*") if p.is_file()] == ["k/a.gz"]
        assert (tmp_path / "archive-meta" / "opentrail" / "k" / "a.gz.json").exists()

    def test_an_object_whose_metadata_is_lost_speaks_for_itself(
        self, destination: Destination, staging: Path, tmp_path: Path
    ) -> None:
        path = staged(staging, b"x")
        destination.put_if_absent("k/a.gz", path, info_of(path))
        (tmp_path / "archive-meta" / "opentrail" / "k" / "a.gz.json").unlink()
        head = destination.head("k/a.gz")
        assert head is not None
        assert head.sha256 == info_of(path).sha256
        assert destination.put_if_absent("k/a.gz", path, info_of(path)) is False

    def test_metadata_without_an_object_means_nothing(
        self, destination: Destination, staging: Path, tmp_path: Path
    ) -> None:
        path, other = staged(staging, b"x"), staged(staging, b"yy", "other.gz")
        destination.put_if_absent("k/a.gz", path, info_of(path))
        (tmp_path / "archive" / "opentrail" / "k" / "a.gz").unlink()
        assert destination.head("k/a.gz") is None
        assert destination.put_if_absent("k/a.gz", other, info_of(other)) is True

    def test_a_replaced_object_does_not_pass_for_ours_by_its_old_metadata(
        self, destination: Destination, staging: Path, tmp_path: Path
    ) -> None:
        path, other = staged(staging, b"x"), staged(staging, b"y" * 99, "other.gz")
        destination.put_if_absent("k/a.gz", path, info_of(path))
        target = tmp_path / "archive" / "opentrail" / "k" / "a.gz"
        target.unlink()
        target.write_bytes(other.read_bytes())
        with pytest.raises(Exception, match="taken by other content"):
            destination.put_if_absent("k/a.gz", path, info_of(path))
