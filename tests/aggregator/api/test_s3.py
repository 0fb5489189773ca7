"""The archive as a bucket, asked by boto3 as anybody would."""

import asyncio
import gzip
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from opentrail.clock import SystemClock
from opentrail_aggregator.access.key_file import read_key_file
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.api.s3_listing import read_page
from opentrail_aggregator.archive.destination import Destination, Listed, ObjectInfo
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.home import Home
from tests.aggregator.api.serving import serving

BUCKET = "opentrail"
ACCOUNTS, REGIONS = ("111122223333", "444455556666"), ("eu-west-1", "us-east-1")


def fill(home: Home, each: int = 3) -> list[str]:
    """Objects of two accounts and two regions; all keys in order."""
    bucket = LocalDirectory(home, BUCKET)
    staged = home.path / "staged"
    home.path.mkdir(parents=True, exist_ok=True)
    keys = []
    for account in ACCOUNTS:
        for region in REGIONS:
            for n in range(each):
                name = f"{account}_CloudTrail_{region}_20261124T10{n:02d}Z_abcdefghijklmnop.json.gz"
                key = f"AWSLogs/{account}/CloudTrail/{region}/2026/11/24/{name}"
                staged.write_bytes(gzip.compress(f'{{"Records":[{n}]}}'.encode(), mtime=0))
                info = ObjectInfo("00", 15, staged.stat().st_size, {"signature": f"s{n}"})
                assert bucket.put_if_absent(key, staged, info)
                staged.unlink()
                keys.append(key)
    return sorted(keys)


def client_of(url: str, key_id: str, secret: str, **config: Any) -> Any:
    session = boto3.Session(key_id, secret, region_name="us-east-1")
    settings = Config(
        retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10, **config
    )
    return session.client("s3", endpoint_url=url, config=settings)


class Port:
    """The open port, the keys in the bucket, and clients of it."""

    def __init__(self, url: str, home: Home, keys: list[str]) -> None:
        self.url, self.home, self.keys = url, home, keys
        first = read_key_file(home.keys / "local.json")
        self.s3 = client_of(url, first.id, first.secret)

    def other(self, role: str = "auditor", **scope: tuple[str, ...]) -> Any:
        key, secret = KeyStore(self.home.keys, SystemClock()).create(role, Scope(**scope))
        return client_of(self.url, key.id, secret)

    def __call__(self, operation: str, client: Any = None, **arguments: Any) -> Any:
        answer = getattr(client or self.s3, operation)(**arguments)
        if "Body" in answer:
            answer["Body"] = answer["Body"].read()
        return answer

    def refused(self, operation: str, client: Any = None, **arguments: Any) -> str:
        """The code of the error that is the answer."""
        with pytest.raises(ClientError) as caught:
            self(operation, client, **arguments)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
        return str(caught.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """One port for all tests, in a thread of its own; nothing of the bucket is changed."""
    path = tmp_path_factory.mktemp("home")
    keys = fill(Home(path))
    opened: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with serving(path) as (client, _):
            stop = asyncio.Event()
            opened.set_result((str(client._base_url), asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    url, loop, stop = opened.result(30)
    found = Port(url, Home(path), keys)
    yield found
    found.s3.close()
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def listed(port: Port, client: Any = None, **arguments: Any) -> tuple[list[str], list[str]]:
    """Keys and common prefixes, page by page."""

    keys, prefixes = [], []
    pages = (client or port.s3).get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=BUCKET, **arguments):
        contents, folded = page.get("Contents", []), page.get("CommonPrefixes", [])
        assert page["KeyCount"] == len(contents) + len(folded)
        keys += [each["Key"] for each in contents]
        prefixes += [each["Prefix"] for each in folded]
    return keys, prefixes


def test_the_bucket_is_there_and_has_a_region(port: Port) -> None:
    buckets = port("list_buckets")
    assert [each["Name"] for each in buckets["Buckets"]] == [BUCKET]
    head = port("head_bucket", Bucket=BUCKET)
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"
    assert (port("get_bucket_location", Bucket=BUCKET))["LocationConstraint"] is None


def test_every_key_is_listed_once_in_any_size_of_page(port: Port) -> None:
    for size in (1, 2, 5, 1000):
        assert listed(port, PaginationConfig={"PageSize": size}) == (port.keys, [])


def test_version_one_goes_on_behind_the_marker(port: Port) -> None:
    page = port("list_objects", Bucket=BUCKET, MaxKeys=5)
    assert page["IsTruncated"]
    rest = port("list_objects", Bucket=BUCKET, Marker=page["Contents"][-1]["Key"])
    assert not rest["IsTruncated"]
    found = [each["Key"] for each in page["Contents"] + rest["Contents"]]
    assert found == port.keys


def test_version_one_with_a_delimiter_names_the_next_marker(port: Port) -> None:
    found, marker = [], ""
    while True:
        page = port(
            "list_objects", Bucket=BUCKET, Prefix="AWSLogs/", Delimiter="/", MaxKeys=1,
            Marker=marker,
        )  # fmt: skip
        found += [each["Prefix"] for each in page["CommonPrefixes"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextMarker"]
    assert found == [f"AWSLogs/{account}/" for account in ACCOUNTS]


def test_a_delimiter_folds_what_lies_below(port: Port) -> None:
    assert listed(port, Delimiter="/") == ([], ["AWSLogs/"])
    below = f"AWSLogs/{ACCOUNTS[0]}/CloudTrail/"
    assert listed(port, Delimiter="/", Prefix=below) == (
        [],
        [f"{below}{region}/" for region in REGIONS],
    )
    day = f"{below}{REGIONS[0]}/2026/11/24/"
    assert listed(port, Delimiter="/", Prefix=day) == (port.keys[:3], [])
    assert listed(port, Prefix=f"{day}{ACCOUNTS[0]}_CloudTrail_") == (port.keys[:3], [])


def test_listing_can_begin_behind_a_key_and_may_be_empty(port: Port) -> None:
    assert listed(port, StartAfter=port.keys[4]) == (port.keys[5:], [])
    assert listed(port, Prefix="nothing/") == ([], [])
    none = port("list_objects_v2", Bucket=BUCKET, MaxKeys=0)
    assert none["KeyCount"] == 0
    assert not none["IsTruncated"]


def test_an_object_comes_as_it_is_stored_with_its_metadata(port: Port) -> None:
    key = port.keys[1]
    path = port.home.archive / BUCKET / key
    answer = port("get_object", Bucket=BUCKET, Key=key)
    assert answer["Body"] == path.read_bytes()
    head = port("head_object", Bucket=BUCKET, Key=key)
    for each in (answer, head):
        assert each["Metadata"]["signature"] == "s1"
        assert each["ContentLength"] == path.stat().st_size
        assert each["ContentType"] == "application/json"
        assert each["ContentEncoding"] == "gzip"
        assert each["ETag"] == answer["ETag"]
    page = port("list_objects_v2", Bucket=BUCKET, Prefix=key)
    assert page["Contents"][0]["ETag"] == answer["ETag"]
    assert page["Contents"][0]["LastModified"] == head["LastModified"]
    assert page["Contents"][0]["Size"] == head["ContentLength"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-3", 0, 3), ("bytes=5-", 5, None), ("bytes=-4", -4, None), ("bytes=2-9999", 2, None)],
)
def test_a_range_is_that_part(port: Port, asked: str, first: int, last: int | None) -> None:
    whole = (port.home.archive / BUCKET / port.keys[0]).read_bytes()
    answer = port("get_object", Bucket=BUCKET, Key=port.keys[0], Range=asked)
    end = None if last is None else last + 1
    assert answer["Body"] == whole[first:end]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    start = first % len(whole)
    stop = len(whole) - 1 if last is None else last
    assert answer["ContentRange"] == f"bytes {start}-{stop}/{len(whole)}"


def test_a_range_outside_is_refused_and_a_strange_one_ignored(port: Port) -> None:
    key = port.keys[0]
    assert port.refused("get_object", Bucket=BUCKET, Key=key, Range="bytes=9999-") == (
        "InvalidRange"
    )
    answer = port("get_object", Bucket=BUCKET, Key=key, Range="lines=1-2")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_what_is_not_there_has_its_name(port: Port) -> None:
    assert port.refused("get_object", Bucket=BUCKET, Key="AWSLogs/none") == "NoSuchKey"
    assert port.refused("head_object", Bucket=BUCKET, Key="AWSLogs/none") == "404"
    assert port.refused("get_object", Bucket=BUCKET, Key="AWSLogs") == "NoSuchKey"
    assert port.refused("get_object", Bucket="another", Key="x") == "NoSuchBucket"
    assert port.refused("list_objects_v2", Bucket="another") == "NoSuchBucket"
    assert port.refused("head_bucket", Bucket="another") == "404"


@pytest.mark.parametrize(
    "key", ["../keys/keys.json", "AWSLogs/../../keys/keys.json", "AWSLogs//x", "ä b+c", "x" * 1000]
)
def test_a_key_never_leads_out_of_the_bucket(port: Port, key: str) -> None:
    assert port.refused("get_object", Bucket=BUCKET, Key=key) == "NoSuchKey"


def test_a_link_is_no_object(port: Port) -> None:
    link = port.home.archive / BUCKET / "AWSLogs" / "link"
    link.symlink_to(port.home.keys / "keys.json")
    assert port.refused("get_object", Bucket=BUCKET, Key="AWSLogs/link") == "NoSuchKey"
    assert listed(port) == (port.keys, [])
    link.unlink()


def test_whatever_writes_is_denied(port: Port) -> None:
    key = port.keys[0]
    before = (port.home.archive / BUCKET / key).read_bytes()
    for operation, more in (
        ("put_object", {"Key": key, "Body": b"x"}),
        ("put_object", {"Key": "new", "Body": b""}),
        ("delete_object", {"Key": key}),
        ("copy_object", {"Key": "new", "CopySource": {"Bucket": BUCKET, "Key": key}}),
        ("create_multipart_upload", {"Key": "new"}),
        ("delete_objects", {"Delete": {"Objects": [{"Key": key}]}}),
        ("delete_bucket", {}),
        ("put_bucket_policy", {"Policy": "{}"}),
    ):
        assert port.refused(operation, Bucket=BUCKET, **more) == "AccessDenied", operation
    assert port.refused("create_bucket", Bucket="new-bucket") == "AccessDenied"
    assert (port.home.archive / BUCKET / key).read_bytes() == before


def test_what_the_archive_does_not_have_says_so(port: Port) -> None:
    with pytest.raises(ClientError) as caught:
        port("get_bucket_acl", Bucket=BUCKET)
    assert caught.value.response["Error"]["Code"] == "NotImplemented"


def test_a_key_sees_the_objects_of_its_accounts_and_regions_only(port: Port) -> None:
    one = port.other(accounts=(ACCOUNTS[1],), regions=(REGIONS[0],))
    mine = [key for key in port.keys if f"/{ACCOUNTS[1]}/" in key and f"/{REGIONS[0]}/" in key]
    assert listed(port, one) == (mine, [])
    assert listed(port, one, PaginationConfig={"PageSize": 1}) == (mine, [])
    assert listed(port, one, Prefix="AWSLogs/", Delimiter="/") == (
        [],
        [f"AWSLogs/{ACCOUNTS[1]}/"],
    )
    assert (port("get_object", one, Bucket=BUCKET, Key=mine[0]))["ContentLength"]
    gone = mine[0].replace("abcd", "zzzz")
    assert port.refused("get_object", one, Bucket=BUCKET, Key=gone) == "NoSuchKey"
    foreign = next(key for key in port.keys if key not in mine)
    for key in (foreign, foreign.replace("abcd", "zzzz"), "AWSLogs/x"):
        assert port.refused("get_object", one, Bucket=BUCKET, Key=key) == "AccessDenied"
    one.close()


def test_a_reader_may_search_and_not_read_the_bucket(port: Port) -> None:
    reader = port.other("reader")
    assert port.refused("list_objects_v2", reader, Bucket=BUCKET) == "AccessDenied"
    assert port.refused("list_buckets", reader) == "AccessDenied"
    reader.close()


def test_a_wrong_secret_and_an_unknown_key_are_refused(port: Port) -> None:
    wrong = client_of(port.url, read_key_file(port.home.keys / "local.json").id, "wrong")
    unknown = client_of(port.url, "OTAKAAAAAAAAAAAAAAAA", "wrong")
    for client in (wrong, unknown):
        code = port.refused("list_objects_v2", client, Bucket=BUCKET)
        assert code == "SignatureDoesNotMatch"
        client.close()


def test_a_presigned_url_is_enough(port: Port) -> None:
    first = read_key_file(port.home.keys / "local.json")
    signing = client_of(port.url, first.id, first.secret, signature_version="s3v4")
    url = signing.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": port.keys[0]}
    )
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == (port.home.archive / BUCKET / port.keys[0]).read_bytes()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}0")
    assert caught.value.code in (400, 403)
    caught.value.close()
    signing.close()


class Counting:
    """A destination that counts what is read of its listing."""

    bucket, blocks = BUCKET, False

    def __init__(self, keys: list[str]) -> None:
        self.keys, self.read, self.lists = sorted(keys), 0, 0

    def list(self, prefix: str = "", after: str = "") -> Iterator[Listed]:
        self.lists += 1
        for key in self.keys:
            if key.startswith(prefix) and key > after:
                self.read += 1
                yield Listed(key, 1)


def test_folded_and_foreign_keys_are_passed_by_without_being_read() -> None:
    keys = [
        f"AWSLogs/{account:012d}/CloudTrail/eu-west-1/2026/11/24/{n:04d}"
        for account in range(20)
        for n in range(500)
    ]
    counting = Counting(keys)
    destination: Destination = counting  # type: ignore[assignment]
    page = read_page(destination, Scope(), "AWSLogs/", "/", "", 1000)
    assert len(page.prefixes) == 20
    assert counting.read < 100
    counting.read = 0
    own = Scope((f"{19:012d}",), ("*",))
    page = read_page(destination, own, "", "", "", 100)
    assert len(page.objects) == 100
    assert page.is_truncated
    assert counting.read < 200
