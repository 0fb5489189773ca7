"""S3 on a real server: the contract, one object for ever, locks, rights; faults by a proxy.

The proxy only spoils what the server cannot be made to do: what is stored is stored by the server,
and each test counts the objects there.
"""

import contextlib
import datetime
import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.archive.destination import Destination, DestinationError
from opentrail_aggregator.archive.s3_destination import S3Destination
from opentrail_aggregator.archive.settings import S3Settings
from tests.aggregator.archive.destination_contract import DestinationContract, info_of, staged
from tests.fakes.clock import FakeClock
from tests.fakes.s3_faults import LOST, SLOW, FaultyS3
from tests.real.versitygw import S3Server

pytestmark = pytest.mark.slow
KEY = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/09/21/a.json.gz"


@pytest.fixture(autouse=True)
def _environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.make_bucket()


@pytest.fixture
def faulty(s3_server: S3Server) -> Iterator[FaultyS3]:
    with FaultyS3(s3_server.endpoint) as proxy:
        yield proxy


def destination_at(endpoint: str, bucket: str, **more: Any) -> S3Destination:
    settings = S3Settings(endpoint=endpoint, region="us-east-1", path_style=True, **more)
    return S3Destination(bucket, settings, FakeClock())


def keys_in(server: S3Server, bucket: str) -> list[str]:
    found = server.client().list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in found.get("Contents", [])]


class TestContractOnARealServer(DestinationContract):
    @pytest.fixture
    def destination(self, tmp_path: Path, s3_server: S3Server, bucket: str) -> Destination:
        return destination_at(s3_server.endpoint, bucket)


class TestContractOnARealServerWithoutIfNoneMatch(DestinationContract):
    @pytest.fixture
    def destination(self, tmp_path: Path, s3_server: S3Server, bucket: str) -> Destination:
        return destination_at(s3_server.endpoint, bucket, if_none_match=False)


def test_endpoint_region_and_credentials_are_found_as_the_aws_tools_find_them(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    path = staged(tmp_path, b"x")
    assert S3Destination(bucket, S3Settings(), FakeClock()).put_if_absent(KEY, path, info_of(path))
    assert keys_in(s3_server, bucket) == [KEY]


def test_of_many_writers_at_once_one_makes_the_object(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    same = staged(tmp_path, b"same")
    destinations = [destination_at(s3_server.endpoint, bucket) for _ in range(8)]
    together = threading.Barrier(8)

    def put(destination: S3Destination) -> bool:
        together.wait()
        for _ in range(20):
            # Who comes while another one's put is under way may be told to try again.
            with contextlib.suppress(DestinationError):
                return destination.put_if_absent(KEY, same, info_of(same))
        raise AssertionError("never told how it ended")

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(put, destinations))
    assert sum(made) == 1
    assert keys_in(s3_server, bucket) == [KEY]


def test_another_content_that_comes_between_the_look_and_the_put_is_not_overwritten(
    s3_server: S3Server, bucket: str, tmp_path: Path, faulty: FaultyS3
) -> None:
    ours, other = staged(tmp_path, b"ours"), staged(tmp_path, b"other", "other.gz")

    def slip_in(asked: Any) -> None:
        if asked.method == "PUT":
            faulty.fault = lambda asked: None
            destination_at(s3_server.endpoint, bucket).put_if_absent(KEY, other, info_of(other))

    faulty.fault = slip_in
    with pytest.raises(DestinationError, match="nothing was overwritten"):
        destination_at(faulty.endpoint, bucket).put_if_absent(KEY, ours, info_of(ours))
    assert s3_server.client().get_object(Bucket=bucket, Key=KEY)["Body"].read() == (
        other.read_bytes()
    )


def test_the_server_is_given_a_checksum_and_refuses_damaged_bytes(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    path = staged(tmp_path, b"x")
    destination = destination_at(s3_server.endpoint, bucket)
    destination.put_if_absent(KEY, path, info_of(path))
    head = s3_server.client().head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert len(head["ChecksumSHA256"]) == 44
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match="BadDigest"):
        s3_server.client().put_object(
            Bucket=bucket, Key="k", Body=b"damaged", ChecksumAlgorithm="SHA256",
            ChecksumSHA256=head["ChecksumSHA256"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "reason", "holds"),
    [
        ((503, "SlowDown"), "slow_down", False),
        ((500, "InternalError"), "server", False),
        ((502, ""), "server", False),
        ((409, "ConditionalRequestConflict"), "conflict", False),
        ((400, "ExpiredToken"), "expired_credentials", True),
        ((403, "RequestTimeTooSkewed"), "clock_skew", True),
        (LOST, "connection", False),
        (SLOW, "connection", False),
    ],
)
@pytest.mark.parametrize("conditional", [True, False])
def test_after_every_fault_there_is_exactly_one_object(
    s3_server: S3Server, bucket: str, tmp_path: Path, faulty: FaultyS3,
    fault: Any, reason: str, holds: bool, conditional: bool,
) -> None:  # fmt: skip
    destination = destination_at(
        faulty.endpoint, bucket, timeout=0.7 if fault == SLOW else 10.0, if_none_match=conditional
    )
    path = staged(tmp_path, b"x")
    faulty.times(1, fault)
    with pytest.raises(DestinationError) as caught:
        destination.put_if_absent(KEY, path, info_of(path))
    assert (caught.value.reason, caught.value.holds) == (reason, holds)
    was_stored = fault in (LOST, SLOW)
    assert keys_in(s3_server, bucket) == ([KEY] if was_stored else [])
    assert destination.put_if_absent(KEY, path, info_of(path)) is not was_stored
    assert keys_in(s3_server, bucket) == [KEY]
    assert [each.conditional for each in faulty.asked if each.method == "PUT"] == (
        [conditional] if was_stored else [conditional, conditional]
    )
    assert destination.read(KEY) == path.read_bytes()


def test_a_server_that_does_not_know_the_condition_is_asked_without_it_from_then_on(
    s3_server: S3Server, bucket: str, tmp_path: Path, faulty: FaultyS3
) -> None:
    faulty.fault = lambda asked: (501, "NotImplemented") if asked.conditional else None
    destination = destination_at(faulty.endpoint, bucket)
    first, other = staged(tmp_path, b"x"), staged(tmp_path, b"y", "other.gz")
    assert destination.put_if_absent(KEY, first, info_of(first))
    assert destination.put_if_absent(KEY, first, info_of(first)) is False
    with pytest.raises(DestinationError, match="nothing was overwritten"):
        destination.put_if_absent(KEY, other, info_of(other))
    assert [each.conditional for each in faulty.asked if each.method == "PUT"] == [True, False]


def test_a_clock_that_is_wrong_is_named(
    s3_server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import botocore.auth

    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime",
        lambda *arguments: real(*arguments) - datetime.timedelta(hours=2),
    )  # fmt: skip
    path = staged(tmp_path, b"x")
    with pytest.raises(DestinationError, match="clock") as caught:
        destination_at(s3_server.endpoint, bucket).put_if_absent(KEY, path, info_of(path))
    assert (caught.value.reason, caught.value.holds) == ("clock_skew", True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "NOBODYKNOWSTHIS")],
)
def test_wrong_credentials_are_denied_and_right_ones_are_taken_up(
    s3_server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    variable: str, value: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    path = staged(tmp_path, b"x")
    destination = destination_at(s3_server.endpoint, bucket)
    with pytest.raises(DestinationError, match="s3:PutObject") as caught:
        destination.put_if_absent(KEY, path, info_of(path))
    assert (caught.value.reason, caught.value.holds) == ("denied", True)
    monkeypatch.setenv(variable, s3_server.environment()[variable])
    assert destination.put_if_absent(KEY, path, info_of(path)) is True


def test_a_bucket_that_is_not_there_is_named(s3_server: S3Server, tmp_path: Path) -> None:
    path = staged(tmp_path, b"x")
    with pytest.raises(DestinationError, match=r"make the bucket") as caught:
        destination_at(s3_server.endpoint, "none-such").put_if_absent(KEY, path, info_of(path))
    assert (caught.value.reason, caught.value.holds) == ("no_such_bucket", True)


@pytest.fixture
def writer(s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user who may only put under AWSLogs/, with the owner's ACL."""
    name = f"writer-{bucket[-8:]}"
    s3_server.make_user(name, "writer-secret")
    statement = {
        "Effect": "Allow", "Principal": {"AWS": [name]}, "Action": ["s3:PutObject"],
        "Resource": f"arn:aws:s3:::{bucket}/AWSLogs/*",
        "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3_server.client().put_bucket_policy(Bucket=bucket, Policy=policy)
    for key, value in s3_server.environment(name, "writer-secret").items():
        monkeypatch.setenv(key, value)
    return name


def test_a_user_who_may_only_put_is_enough_and_cannot_overwrite(
    s3_server: S3Server, bucket: str, tmp_path: Path, writer: str
) -> None:
    acl = "bucket-owner-full-control"
    destination = destination_at(s3_server.endpoint, bucket, acl=acl)
    path, other = staged(tmp_path, b"x"), staged(tmp_path, b"y", "other.gz")
    assert destination.put_if_absent(KEY, path, info_of(path)) is True
    with pytest.raises(DestinationError, match="allow s3:PutObject"):
        destination.put_if_absent(KEY, other, info_of(other))
    stored = s3_server.client().get_object(Bucket=bucket, Key=KEY)["Body"].read()
    assert hashlib.sha256(gzip.decompress(stored)).hexdigest() == info_of(path).sha256


def test_without_the_acl_that_the_bucket_asks_for_the_put_is_denied(
    s3_server: S3Server, bucket: str, tmp_path: Path, writer: str
) -> None:
    path = staged(tmp_path, b"x")
    with pytest.raises(DestinationError) as caught:
        destination_at(s3_server.endpoint, bucket).put_if_absent(KEY, path, info_of(path))
    assert caught.value.reason == "denied"
    assert keys_in(s3_server, bucket) == []


def test_a_locked_object_outlives_every_deletion(s3_server: S3Server, tmp_path: Path) -> None:
    bucket = s3_server.make_bucket(locks=True)
    settings = S3Settings(
        endpoint=s3_server.endpoint, region="us-east-1", path_style=True,
        lock_mode="COMPLIANCE", lock_days=30, legal_hold=True,
    )  # fmt: skip
    clock = FakeClock()
    now = datetime.datetime.now(datetime.UTC).timestamp()
    clock.jump(now - clock.now_ns() / 1e9)
    path = staged(tmp_path, b"x")
    destination = S3Destination(bucket, settings, clock)
    assert destination.put_if_absent(KEY, path, info_of(path))
    client = s3_server.client()
    head = client.head_object(Bucket=bucket, Key=KEY)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert head["ObjectLockLegalHoldStatus"] == "ON"
    assert head["ObjectLockRetainUntilDate"].timestamp() == pytest.approx(now + 30 * 86400, abs=60)
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key=KEY, VersionId=head["VersionId"])
    destination.delete(KEY)  # In a bucket with versions this only hides it.
    assert destination.head(KEY) is None
    version = client.get_object(Bucket=bucket, Key=KEY, VersionId=head["VersionId"])
    assert version["Body"].read() == path.read_bytes()


@pytest.mark.parametrize("status", [(403, "AccessDenied"), (400, "InvalidRequest")])
def test_both_ways_of_saying_locked_are_understood(
    s3_server: S3Server, bucket: str, tmp_path: Path, faulty: FaultyS3, status: tuple[int, str]
) -> None:
    path = staged(tmp_path, b"x")
    destination = destination_at(faulty.endpoint, bucket)
    destination.put_if_absent(KEY, path, info_of(path))
    faulty.times(1, status, "DELETE")
    with pytest.raises(DestinationError) as caught:
        destination.delete(KEY)
    assert (caught.value.reason, caught.value.holds) == ("locked", True)
    assert keys_in(s3_server, bucket) == [KEY]


def test_storage_class_encryption_and_acl_are_accepted(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    path = staged(tmp_path, b"x")
    each_alone = [
        {"storage_class": "STANDARD_IA"}, {"sse": "AES256"},
        {"sse": "aws:kms", "kms_key_id": "alias/trail"}, {"acl": "bucket-owner-full-control"},
    ]  # fmt: skip
    for number, options in enumerate(each_alone):
        destination = destination_at(s3_server.endpoint, bucket, **options)
        assert destination.put_if_absent(f"k/{number}.gz", path, info_of(path))
        assert destination.read(f"k/{number}.gz") == path.read_bytes()
