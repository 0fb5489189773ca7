"""S3 keeps the destination contract on a server, and says the right thing about every error."""

import socket
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.archive.destination import Destination, DestinationError
from opentrail_aggregator.archive.s3_destination import S3Destination, make_client
from opentrail_aggregator.archive.s3_errors import meaning_of
from opentrail_aggregator.archive.settings import S3Settings
from tests.aggregator.archive.destination_contract import DestinationContract, info_of, staged
from tests.fakes.clock import FakeClock

pytest.importorskip("boto3", reason="boto3 is not installed: S3 is not tried")
pytest.importorskip("flask", reason="moto[server] is not installed: S3 is not tried")

# moto and what it stands on warn about their own future.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        yield f"http://127.0.0.1:{port}"
        server.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def settings_for(endpoint: str, **more: Any) -> S3Settings:
    return S3Settings(endpoint=endpoint, region="us-east-1", path_style=True, **more)


@pytest.fixture
def bucket(endpoint: str) -> str:
    name = f"trail-{uuid.uuid4()}"
    make_client(settings_for(endpoint)).create_bucket(Bucket=name)
    return name


class TestS3Destination(DestinationContract):
    @pytest.fixture
    def destination(self, tmp_path: Path, endpoint: str, bucket: str) -> Destination:
        return S3Destination(bucket, settings_for(endpoint), FakeClock())


class TestS3WithoutIfNoneMatch(DestinationContract):
    @pytest.fixture
    def destination(self, tmp_path: Path, endpoint: str, bucket: str) -> Destination:
        return S3Destination(bucket, settings_for(endpoint, if_none_match=False), FakeClock())


def test_what_is_asked_for_is_sent(endpoint: str, bucket: str, tmp_path: Path) -> None:
    settings = settings_for(
        endpoint, sse="aws:kms", kms_key_id="alias/trail", acl="bucket-owner-full-control",
        storage_class="STANDARD_IA",
    )  # fmt: skip
    path = staged(tmp_path, b"x")
    S3Destination(bucket, settings, FakeClock()).put_if_absent("k/a.gz", path, info_of(path))
    head = make_client(settings).head_object(Bucket=bucket, Key="k/a.gz")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == "alias/trail"
    assert head["StorageClass"] == "STANDARD_IA"


def test_an_object_is_locked_for_as_long_as_asked(endpoint: str, tmp_path: Path) -> None:
    name = f"trail-{uuid.uuid4()}"
    settings = settings_for(endpoint, lock_mode="GOVERNANCE", lock_days=30, legal_hold=True)
    client = make_client(settings)
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    clock = FakeClock()
    path = staged(tmp_path, b"x")
    S3Destination(name, settings, clock).put_if_absent("k/a.gz", path, info_of(path))
    head = client.head_object(Bucket=name, Key="k/a.gz")
    assert head["ObjectLockMode"] == "GOVERNANCE"
    assert head["ObjectLockLegalHoldStatus"] == "ON"
    until = head["ObjectLockRetainUntilDate"].timestamp()
    assert until == pytest.approx(clock.now_ns() / 1e9 + 30 * 86400, abs=2)


def test_a_missing_bucket_holds_and_says_so(endpoint: str, tmp_path: Path) -> None:
    path = staged(tmp_path, b"x")
    destination = S3Destination("no-such-bucket-here", settings_for(endpoint), FakeClock())
    with pytest.raises(DestinationError, match=r"archive\.bucket") as caught:
        destination.put_if_absent("k/a.gz", path, info_of(path))
    assert caught.value.holds
    assert caught.value.reason == "no_such_bucket"


def test_a_server_that_is_away_is_tried_again(tmp_path: Path) -> None:
    path = staged(tmp_path, b"x")
    destination = S3Destination("opentrail", settings_for("http://127.0.0.1:9"), FakeClock())
    with pytest.raises(DestinationError) as caught:
        destination.put_if_absent("k/a.gz", path, info_of(path))
    assert (caught.value.reason, caught.value.holds) == ("connection", False)


def test_credentials_are_read_anew_after_they_were_refused(
    endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = staged(tmp_path, b"x")
    destination = S3Destination(bucket, settings_for(endpoint), FakeClock())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(DestinationError) as caught:
        destination.put_if_absent("k/a.gz", path, info_of(path))
    assert (caught.value.reason, caught.value.holds) == ("no_credentials", True)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert destination.put_if_absent("k/a.gz", path, info_of(path)) is True


class FakeClientError(Exception):
    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.response = {
            "Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}
        }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "reason", "holds"),
    [
        ("SlowDown", 503, "slow_down", False),
        ("ServiceUnavailable", 503, "slow_down", False),
        ("", 503, "slow_down", False),
        ("InternalError", 500, "server", False),
        ("", 502, "server", False),
        ("RequestTimeout", 400, "server", False),
        ("ConditionalRequestConflict", 409, "conflict", False),
        ("BadDigest", 400, "checksum", False),
        ("NoSuchBucket", 404, "no_such_bucket", True),
        ("ExpiredToken", 400, "expired_credentials", True),
        ("RequestTimeTooSkewed", 403, "clock_skew", True),
        ("AccessDenied", 403, "denied", True),
        ("", 403, "denied", True),
        ("SignatureDoesNotMatch", 403, "denied", True),
        ("PermanentRedirect", 301, "wrong_region", True),
        ("KMS.DisabledException", 400, "kms", True),
        ("EntityTooLarge", 400, "refused", True),
    ],
)
def test_errors_are_told_by_their_code(code: str, status: int, reason: str, holds: bool) -> None:
    meaning = meaning_of(FakeClientError(code, status))
    assert (meaning.reason, meaning.holds) == (reason, holds)
