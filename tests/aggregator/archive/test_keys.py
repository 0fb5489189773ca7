"""Keys are CloudTrail's to the byte, and nothing that is not a name can get into one."""

import re

import pytest

from opentrail_aggregator.archive.keys import (
    DEFAULT_FOLDER,
    MANIFEST_FOLDER,
    check_bucket,
    check_key,
    check_prefix,
    object_key,
    read_key,
    slot_of,
    unique_name,
)

AT = 1_700_000_000 * 10**9  # 2023-11-14T22:13:20Z
ACCOUNT, REGION, UNIQUE = "123456789012", "eu-west-1", "A" * 16


def test_a_log_key_is_as_aws_writes_it() -> None:
    assert object_key("", ACCOUNT, DEFAULT_FOLDER, REGION, AT, UNIQUE) == (
        "AWSLogs/123456789012/CloudTrail/eu-west-1/2023/11/14/"
        "123456789012_CloudTrail_eu-west-1_20231114T2215Z_AAAAAAAAAAAAAAAA.json.gz"
    )


def test_the_stamp_is_the_delivery_rounded_up_to_five_minutes() -> None:
    assert f"{slot_of(0):%H%M}" == "0000"
    assert f"{slot_of(1):%H%M}" == "0005"
    assert f"{slot_of(300 * 10**9):%H%M}" == "0005"
    end_of_day = 86400 * 10**9 - 1
    assert f"{slot_of(end_of_day):%Y/%m/%d %H%M}" == "1970/01/02 0000"


def test_unique_names_are_16_letters_and_digits_and_depend_on_every_part() -> None:
    names = {unique_name("log", "arn", "a", n) for n in range(2000)}
    names |= {unique_name("log", "arna", n) for n in range(2000)}
    assert len(names) == 4000
    assert all(re.fullmatch(r"[A-Za-z0-9]{16}", name) for name in names)
    assert unique_name("ab", "c") != unique_name("a", "bc")


def test_a_key_read_back_gives_what_it_was_made_of() -> None:
    key = object_key("a/b", ACCOUNT, MANIFEST_FOLDER, REGION, AT, UNIQUE)
    parts = read_key(key)
    assert parts is not None
    assert (parts.account, parts.folder, parts.region) == (ACCOUNT, MANIFEST_FOLDER, REGION)
    assert (parts.day, parts.stamp, parts.unique) == ("2023/11/14", "20231114T2215Z", UNIQUE)


@pytest.mark.parametrize(
    "key",
    [
        "AWSLogs/123456789012/CloudTrail/eu-west-1/2023/11/14/x.json.gz",
        "AWSLogs/123456789012/CloudTrail-Digest/eu-west-1/2023/11/14/"
        "123456789012_CloudTrail-Digest_eu-west-1_20231114T2215Z_AAAAAAAAAAAAAAAA.json.gz",
        "AWSLogs/123456789012/CloudTrail/eu-west-1/2023/11/14/"
        "999956789012_CloudTrail_eu-west-1_20231114T2215Z_AAAAAAAAAAAAAAAA.json.gz",
    ],
)
def test_other_names_are_not_taken_for_ours(key: str) -> None:
    assert read_key(key) is None


@pytest.mark.parametrize(
    "account", ["", "12345678901", "1234567890123", "../../../etc", "\uff11" * 12, "1" * 11 + "\n"]
)
def test_an_account_that_is_none_gets_into_no_key(account: str) -> None:
    with pytest.raises(ValueError, match="no account"):
        object_key("", account, DEFAULT_FOLDER, REGION, AT, UNIQUE)


@pytest.mark.parametrize("region", ["", "..", "a/b", "EU-WEST-1", "r" * 41, "a\n", "é"])
def test_a_region_that_is_none_gets_into_no_key(region: str) -> None:
    with pytest.raises(ValueError, match="no region"):
        object_key("", ACCOUNT, DEFAULT_FOLDER, region, AT, UNIQUE)


@pytest.mark.parametrize(
    "prefix", ["/a", "a/", "a//b", "../a", "a/..", "AWSLogs", "a b", "x" * 201]
)
def test_a_prefix_that_could_lead_elsewhere_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        check_prefix(prefix)


@pytest.mark.parametrize("bucket", ["", "a", "..", "A-b-c", "a/b", "-ab", "a..b", "x" * 64])
def test_a_bucket_that_is_no_bucket_name_is_refused(bucket: str) -> None:
    with pytest.raises(ValueError, match="bucket"):
        check_bucket(bucket)


def test_a_good_key_is_split_into_its_folders() -> None:
    assert check_key("a/b.c/d_e.gz") == ["a", "b.c", "d_e.gz"]
