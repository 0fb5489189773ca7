"""LookupEvents with boto3: what it finds, in which order, and for whom."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aggregator.cloudtrail.serving import ACCOUNT, OTHER, Served, record, serving

DAY = 86400


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("home")) as served:
        served.add(
            record(served, 1, eventName="CreateBucket", eventSource="s3.amazonaws.com",
                   requestParameters={"bucketName": "invoices"}),
            record(served, 2, readOnly=True, eventName="DescribeInstances"),
            record(served, 3, userIdentity={"type": "Root", "accessKeyId": "AKIAROOT"}),
            record(served, 4, userIdentity={"type": "AssumedRole", "principalId": "AROA:deploy"}),
            record(served, 5, eventName='Odd "name" \\ * ?'),
            record(served, 6, eventCategory="Data", managementEvent=False, eventName="GetObject"),
            record(served, 7, eventCategory="Insight", eventName="Burst"),
            record(served, 8, eventCategory="NetworkActivity", eventName="Network"),
            record(served, 9, account=OTHER, eventName="InOtherAccount"),
            record(served, 91 * DAY, eventName="TooOld"),
        )  # fmt: skip
        old = record(served, 10, eventName="BeforeCategories")
        del old["eventCategory"], old["managementEvent"]
        served.add(old)
        served.add(record(served, 11, eventName="InIreland"), region="eu-west-1")
        served.add(*(record(served, 1000 + n, eventName="Paged") for n in range(120)))
        yield served


def names(client: Any, **given: Any) -> list[str]:
    return [each["EventName"] for each in client.lookup_events(**given)["Events"]]


def by(key: str, value: str) -> dict[str, str]:
    return {"AttributeKey": key, "AttributeValue": value}


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("EventId", f"{2:08x}-0000-4000-8000-000000000000", ["DescribeInstances"]),
        ("EventName", "CreateBucket", ["CreateBucket"]),
        ("EventName", 'Odd "name" \\ * ?', ['Odd "name" \\ * ?']),
        ("EventName", "Create*", []),
        ("ReadOnly", "true", ["DescribeInstances"]),
        ("Username", "root", ["RunInstances"]),
        ("Username", "deploy", ["RunInstances"]),
        ("ResourceName", "invoices", ["CreateBucket"]),
        ("ResourceType", "AWS::S3::Bucket", ["CreateBucket"]),
        ("EventSource", "s3.amazonaws.com", ["CreateBucket"]),
        ("AccessKeyId", "AKIAROOT", ["RunInstances"]),
    ],
)
def test_each_attribute_finds_exactly_its_value(
    history: Served, key: str, value: str, found: list[str]
) -> None:
    assert names(history.client(), LookupAttributes=[by(key, value)]) == found


def test_only_management_events_of_90_days_of_the_region_are_there(history: Served) -> None:
    found = names(history.client(accounts=(ACCOUNT,)))
    assert found[0] == "CreateBucket"
    assert "BeforeCategories" in found
    hidden = {"GetObject", "Burst", "Network", "InOtherAccount", "TooOld", "InIreland"}
    assert hidden.isdisjoint(found)


def test_insight_events_come_by_their_category_only(history: Served) -> None:
    assert names(history.client(), EventCategory="insight") == ["Burst"]


def test_a_key_for_all_accounts_reads_all_and_one_for_some_reads_those(history: Served) -> None:
    asked = {"LookupAttributes": [by("EventName", "InOtherAccount")]}
    assert names(history.client(), **asked) == ["InOtherAccount"]
    assert names(history.client(accounts=(OTHER,)), **asked) == ["InOtherAccount"]
    assert names(history.client(accounts=(ACCOUNT,)), **asked) == []


def test_the_region_is_that_of_the_signature_and_all_is_every_one(history: Served) -> None:
    asked = {"LookupAttributes": [by("EventName", "InIreland")]}
    assert names(history.client(region="eu-west-1"), **asked) == ["InIreland"]
    assert names(history.client(region="all"), **asked) == ["InIreland"]
    assert names(history.client(region="all", regions=("us-*",)), **asked) == []


def test_several_attributes_are_all_to_be_met(history: Served) -> None:
    both = [by("EventName", "CreateBucket"), by("Username", "alice")]
    assert names(history.client(), LookupAttributes=both) == ["CreateBucket"]
    assert names(history.client(), LookupAttributes=[*both, by("ReadOnly", "true")]) == []


def test_both_times_are_inclusive(history: Served) -> None:
    def at(number: int) -> datetime:
        return datetime.fromtimestamp(history.now_s - number, UTC)

    client = history.client(accounts=(ACCOUNT,))
    assert names(client, StartTime=at(2), EndTime=at(1)) == ["CreateBucket", "DescribeInstances"]
    assert names(client, StartTime=at(1), EndTime=at(1)) == ["CreateBucket"]
    assert names(client, EndTime=at(90 * DAY + 1)) == []


def test_pages_go_on_without_gap_or_repeat(history: Served) -> None:
    pages = history.client().get_paginator("lookup_events")
    asked = {"LookupAttributes": [by("EventName", "Paged")]}
    found = [
        event["EventId"]
        for page in pages.paginate(PaginationConfig={"PageSize": 50}, **asked)
        for event in page["Events"]
    ]
    assert found == [f"{1000 + n:08x}-0000-4000-8000-000000000000" for n in range(120)]


def test_a_token_belongs_to_its_parameters_and_its_rights(history: Served) -> None:
    client = history.client()
    asked = {"LookupAttributes": [by("EventName", "Paged")]}
    token = client.lookup_events(**asked)["NextToken"]
    assert names(client, **asked, NextToken=token)
    shorter, abroad = token[:-4], history.client(region="eu-west-1")
    others: list[tuple[Any, dict[str, Any]]] = [
        (client, {"NextToken": token}),
        (client, {**asked, "NextToken": shorter}),
        (client, {**asked, "NextToken": "x"}),
        (abroad, {**asked, "NextToken": token}),
        (history.client(accounts=(OTHER,)), {**asked, "NextToken": token}),
    ]
    for other, given in others:
        with pytest.raises(ClientError) as caught:
            other.lookup_events(**given)
        assert caught.value.response["Error"]["Code"] == "InvalidNextTokenException"


def test_an_event_looks_as_awss_do(history: Served) -> None:
    event = history.client().lookup_events(LookupAttributes=[by("EventName", "CreateBucket")])
    found = event["Events"][0]
    assert found["ReadOnly"] == "false"
    assert found["Username"] == "alice"
    assert found["AccessKeyId"] == "AKIAEXAMPLE1"
    assert found["Resources"] == [{"ResourceType": "AWS::S3::Bucket", "ResourceName": "invoices"}]
    assert found["EventTime"].timestamp() == history.now_s - 1
    assert '"bucketName": "invoices"' in found["CloudTrailEvent"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"LookupAttributes": [by("Bogus", "x")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [by("ReadOnly", "yes")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [by("EventName", "x" * 2001)]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [by("EventName", "x")] * 9}, "InvalidLookupAttributesException"),
        ({"EventCategory": "data"}, "InvalidEventCategoryException"),
        (
            {"EventCategory": "insight", "LookupAttributes": [by("Username", "x")]},
            "InvalidLookupAttributesException",
        ),
        ({"StartTime": 20, "EndTime": 10}, "InvalidTimeRangeException"),
    ],
)
def test_what_is_wrong_has_its_own_error(history: Served, given: Any, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        history.client().lookup_events(**given)
    assert caught.value.response["Error"]["Code"] == code


def test_a_call_is_an_event_with_the_request_id_of_its_answer(history: Served) -> None:
    answer = history.client().lookup_events(LookupAttributes=[by("EventName", "Nothing")])
    own = history.log.own()[-1]
    assert own["eventName"] == "LookupEvents"
    assert own["eventSource"] == "cloudtrail.amazonaws.com"
    assert own["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert own["requestParameters"]["LookupAttributes"] == [by("EventName", "Nothing")]


def test_a_writer_may_not_read_and_a_key_for_another_region_neither(history: Served) -> None:
    for client in (history.client(role="writer"), history.client(regions=("eu-*",))):
        with pytest.raises(ClientError) as caught:
            client.lookup_events()
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
