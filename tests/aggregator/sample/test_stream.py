"""The sample looks like CloudTrail: several accounts and regions, errors, sign-ins, data events."""

import json
import re
from collections import Counter
from itertools import chain
from typing import Any

import pytest

from opentrail_aggregator.sample.stream import SampleStream

START = 1_790_000_000


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    stream = SampleStream(seed=7)
    lines = chain.from_iterable(stream.lines(START + number // 10) for number in range(6000))
    return [json.loads(line) for line in lines]


def test_it_spreads_over_five_regions_and_four_accounts(records: list[dict[str, Any]]) -> None:
    assert len({record["awsRegion"] for record in records}) >= 5
    assert len({record["recipientAccountId"] for record in records}) >= 4


def test_every_record_can_be_admitted(records: list[dict[str, Any]]) -> None:
    for record in records:
        assert re.fullmatch(r"\d{12}", record["recipientAccountId"])
        assert re.fullmatch(r"[a-z0-9-]{1,40}", record["awsRegion"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["eventTime"])
        assert {"requestParameters", "responseElements", "eventSource", "eventName"} <= set(record)


def test_no_event_id_comes_twice(records: list[dict[str, Any]]) -> None:
    assert max(Counter(record["eventID"] for record in records).values()) == 1


def test_global_services_are_recorded_where_aws_records_them(
    records: list[dict[str, Any]],
) -> None:
    places = {
        record["awsRegion"]
        for record in records
        if record["eventSource"].split(".")[0] in {"iam", "organizations", "route53", "cloudfront"}
    }
    assert places == {"us-east-1"}


def test_errors_sign_ins_data_events_and_service_events_all_come(
    records: list[dict[str, Any]],
) -> None:
    logins = [record for record in records if record["eventName"] == "ConsoleLogin"]
    assert {login["responseElements"]["ConsoleLogin"] for login in logins} == {"Success", "Failure"}
    assert {record["eventCategory"] for record in records} == {"Management", "Data"}
    assert 0.01 < sum("errorCode" in record for record in records) / len(records) < 0.2
    assert {"AwsApiCall", "AwsConsoleSignIn", "AwsServiceEvent"} == {
        record["eventType"] for record in records
    }


def test_a_call_across_accounts_is_in_both_under_one_shared_id(
    records: list[dict[str, Any]],
) -> None:
    accounts: dict[str, set[str]] = {}
    for record in records:
        if "sharedEventID" in record:
            accounts.setdefault(record["sharedEventID"], set()).add(record["recipientAccountId"])
    assert accounts
    assert all(len(pair) == 2 for pair in accounts.values())


def test_the_same_seed_tells_the_same_story() -> None:
    one, other = SampleStream(3), SampleStream(3)
    assert [one.lines(START) for _ in range(50)] == [other.lines(START) for _ in range(50)]
