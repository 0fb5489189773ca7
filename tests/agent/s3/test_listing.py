"""A bucket of CloudTrail's is followed by listing it: each object once, late ones too."""

import json
from pathlib import Path

import pytest

from opentrail_agent.s3.stream import Stream
from tests.real.versitygw import S3Server

from .rig import ACCOUNT, ORGANIZATION, Rig, key_of, records

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return Rig(s3_server, tmp_path, s3_server.make_bucket())


async def test_every_account_region_and_folder_is_read_and_digests_are_not(rig: Rig) -> None:
    rig.put(key_of("20261124T1005Z"), records(1, 2))
    rig.put(key_of("20261124T1005Z", region="us-east-1"), records(3))
    rig.put(key_of("20261124T1005Z", root=f"AWSLogs/{ORGANIZATION}/", account="9" * 12), records(4))
    rig.put(key_of("20261124T1005Z", folder="CloudTrail-Insight"), records(5))
    rig.put(key_of("20261124T1005Z", folder="CloudTrail-Digest"), records(6))
    rig.put(key_of("20261124T1005Z", folder="CloudTrail-Aggregated"), records(7))
    rig.put("elsewhere/notes.json.gz", records(8))
    async with rig.following():
        await rig.until_read(1, 2, 3, 4, 5)
        await rig.until("a whole poll", lambda: rig.source.reported_at_ns)
        assert sorted((await rig.numbers()).elements()) == [1, 2, 3, 4, 5]
    assert rig.metrics.value("opentrail_agent_s3_streams", source=rig.settings.url) == 4


async def test_a_key_that_sorts_earlier_and_comes_later_is_found_and_nothing_is_read_again(
    rig: Rig,
) -> None:
    rig.put(key_of("20261124T1005Z", "b"), records(1))
    async with rig.following():
        await rig.until_read(1)
        rig.put(key_of("20261124T1005Z", "a"), records(2))
        rig.put(key_of("20261122T2355Z", "c"), records(3))
        await rig.until_read(2, 3)
        # Further back than the look-back: that is what `opentrail import` is for.
        rig.put(key_of("20261120T2355Z", "d"), records(4))
        rig.put(key_of("20261124T1010Z", "e"), records(5))
        await rig.until_read(5)
    async with rig.following():
        rig.put(key_of("20261124T1015Z", "f"), records(6))
        await rig.until_read(6)
        assert sorted((await rig.numbers()).elements()) == [1, 2, 3, 5, 6]


async def test_an_object_that_may_not_be_read_is_named_and_read_once_it_may(
    rig: Rig, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.make_user("reader", "reader-secret")
    for name, value in s3_server.environment("reader", "reader-secret").items():
        monkeypatch.setenv(name, value)
    arn = f"arn:aws:s3:::{rig.bucket}"
    denied = key_of("20261120T1005Z")

    def allow(resources: list[str]) -> None:
        statements = [
            {"Effect": "Allow", "Principal": {"AWS": ["reader"]}, "Action": [action],
             "Resource": resource}
            for action, resource in [("s3:ListBucket", arn)]
            + [("s3:GetObject", f"{arn}/{each}") for each in resources]
        ]  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        s3_server.client().put_bucket_policy(Bucket=rig.bucket, Policy=policy)

    rig.put(denied, records(1))
    rig.put(key_of("20261124T1005Z"), records(2))
    allow([f"AWSLogs/{ACCOUNT}/CloudTrail/eu-west-1/2026/11/24/*"])
    async with rig.following():
        await rig.until_read(2)
        await rig.until("it is named", lambda: any(
            denied in text and "s3:GetObject" in text and key == f"s3.{rig.settings.url}.objects"
            for key, text in rig.metrics.problems().items()
        ))  # fmt: skip
        assert rig.source.reported_at_ns == 0, "it claims to have read all"
        allow(["*"])
        await rig.until_read(1)
        await rig.until("it is healed", lambda: not rig.metrics.problems())
    assert rig.metrics.value("opentrail_agent_s3_errors_total", reason="denied") >= 1


async def test_a_bucket_that_is_not_there_is_told_and_read_once_it_is(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    rig = Rig(s3_server, tmp_path, f"later-{s3_server.make_bucket()[6:]}")
    async with rig.following():
        await rig.until("it is told", lambda: "no such bucket" in
            rig.metrics.problems().get(f"s3.{rig.settings.url}", ""))  # fmt: skip
        s3_server.client().create_bucket(Bucket=rig.bucket)
        rig.put(key_of("20261124T1005Z"), records(1))
        await rig.until_read(1)
        await rig.until("it is healed", lambda: not rig.metrics.problems())


def test_what_a_stream_remembers_is_bounded_by_the_look_back(tmp_path: Path) -> None:
    stream = Stream(tmp_path, "p/", 48 * 3600, "")
    for day in range(1, 29):
        stream.taken(f"p/2026/11/{day:02}/a")
        stream.save()
    again = Stream(tmp_path, "p/", 48 * 3600, "")
    assert again.start_after == "p/2026/11/26/"
    days = [(f"p/2026/11/{day:02}/a", 1) for day in range(26, 31)]
    assert [key for key, _ in again.fresh(iter(days))] == ["p/2026/11/29/a", "p/2026/11/30/a"]
    (state,) = tmp_path.glob("*.json")
    assert len(json.loads(state.read_bytes())["seen"]) == 3


def test_a_stream_never_passes_a_key_that_could_not_be_read(tmp_path: Path) -> None:
    stream = Stream(tmp_path, "p/", 48 * 3600, "")
    stream.failed.add("2026/11/03/bad")
    stream.taken("p/2026/11/20/a")
    stream.save()
    assert stream.start_after == "p/2026/11/03/"
    stream.taken("p/2026/11/03/bad")
    stream.save()
    assert stream.start_after == "p/2026/11/18/"


def test_a_memory_that_is_damaged_is_set_aside_and_said(tmp_path: Path) -> None:
    stream = Stream(tmp_path, "p/", 48 * 3600, "")
    stream.taken("p/2026/11/20/a")
    stream.save()
    (state,) = tmp_path.glob("*.json")
    state.write_bytes(b"{")
    again = Stream(tmp_path, "p/", 48 * 3600, "")
    assert "set aside" in again.note
    assert again.start_after == ""
