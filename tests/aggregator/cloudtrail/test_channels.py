"""Channels and PutAuditEvents with boto3: what is taken, what is refused and why, and repeats."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from opentrail.clock import SystemClock
from opentrail.identity import natural_event_id
from opentrail_aggregator.cloudtrail.channels import ChannelStore
from opentrail_aggregator.cloudtrail.errors import ApiError
from tests.aggregator.cloudtrail.serving import ACCOUNT, OTHER, Served

DESTINATIONS = [{"Type": "EVENT_DATA_STORE", "Location": "opentrail"}]


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def made(served: Served, name: str, **given: Any) -> str:
    answer = served.client().create_channel(
        Name=name, Source="Custom", Destinations=DESTINATIONS, **given
    )
    return str(answer["ChannelArn"])


def data(**changes: Any) -> dict[str, Any]:
    return {
        "version": "1",
        "userIdentity": {"type": "User", "principalId": "alice", "details": {"team": "a"}},
        "eventSource": "billing.example.com",
        "eventName": "PayInvoice",
        "eventTime": "2025-12-31T23:00:00Z",
        "UID": "u-1",
        "recipientAccountId": ACCOUNT,
        "requestParameters": {"invoice": 12345678901234567890123, "list": [1, 2]},
        **changes,
    }


def put(client: Any, arn: str, *events: Any) -> dict[str, Any]:
    items = [
        {"id": f"id-{number}", "eventData": each if type(each) is str else json.dumps(each)}
        for number, each in enumerate(events)
    ]
    answer: dict[str, Any] = client.put_audit_events(channelArn=arn, auditEvents=items)
    return answer


def test_a_channel_is_made_read_changed_listed_and_deleted(served: Served) -> None:
    client = served.client(region="eu-north-1")
    answer = client.create_channel(
        Name="orders", Source="Custom", Destinations=DESTINATIONS,
        Tags=[{"Key": "team", "Value": "shop"}],
    )  # fmt: skip
    arn = answer["ChannelArn"]
    assert arn.startswith(f"arn:aws:cloudtrail:eu-north-1:{ACCOUNT}:channel/")
    assert answer["Tags"] == [{"Key": "team", "Value": "shop"}]
    assert client.get_channel(Channel=arn)["Name"] == "orders"
    assert client.get_channel(Channel=arn.rpartition("/")[2])["ChannelArn"] == arn
    client.update_channel(Channel=arn, Name="shop-orders")
    assert client.list_channels()["Channels"] == [{"ChannelArn": arn, "Name": "shop-orders"}]
    assert client.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [
        {"Key": "team", "Value": "shop"}
    ]
    assert served.client(region="eu-west-3").list_channels()["Channels"] == []
    client.delete_channel(Channel=arn)
    with pytest.raises(client.exceptions.ChannelNotFoundException):
        client.get_channel(Channel=arn)


def test_channels_are_listed_in_pages(served: Served) -> None:
    for number in range(3):
        served.client(region="eu-south-1").create_channel(
            Name=f"page-{number}", Source="Custom", Destinations=DESTINATIONS
        )
    client = served.client(region="eu-south-1")
    first = client.list_channels(MaxResults=2)
    rest = client.list_channels(MaxResults=2, NextToken=first["NextToken"])
    assert len({each["Name"] for each in first["Channels"] + rest["Channels"]}) == 3
    assert "NextToken" not in rest
    with pytest.raises(client.exceptions.InvalidNextTokenException):
        client.list_channels(NextToken="abcd")


def test_what_cannot_be_a_channel_is_refused(served: Served) -> None:
    made(served, "taken")
    for given, code in (
        ({"Name": "taken"}, "ChannelAlreadyExistsException"),
        ({"Source": "Okta"}, "InvalidSourceException"),
        ({"Name": "has space"}, "InvalidParameterException"),
        ({"Destinations": [{"Type": "S3", "Location": "abc"}]}, "InvalidParameterException"),
        ({"Tags": [{"Key": "a"}, {"Key": "a"}]}, "InvalidTagParameterException"),
        ({"Tags": [{"Key": f"{n}"} for n in range(51)]}, "TagsLimitExceededException"),
    ):
        asked = {"Name": "other", "Source": "Custom", "Destinations": DESTINATIONS, **given}
        with pytest.raises(ClientError) as caught:
            served.client().create_channel(**asked)
        assert code_of(caught) == code, given
    with pytest.raises(ClientError) as caught:
        served.client().get_channel(Channel="arn:aws:s3:::bucket")
    assert code_of(caught) == "ChannelARNInvalidException"


def test_a_channel_of_another_account_is_not_there(served: Served) -> None:
    arn = made(served, "hidden")
    with pytest.raises(ClientError) as caught:
        served.client(accounts=(OTHER,)).get_channel(Channel=arn)
    assert code_of(caught) == "ChannelNotFoundException"


def test_channels_are_on_disk_for_another_process(tmp_path: Path) -> None:
    clock = SystemClock()
    one, two = (ChannelStore(tmp_path, clock, 2) for _ in range(2))
    channel = one.create("us-east-1", ACCOUNT, "a-channel", DESTINATIONS, [])
    assert two.get(channel.arn) == channel
    two.delete(channel.arn)
    assert one.get(channel.arn) is None
    one.create("us-east-1", ACCOUNT, "one", DESTINATIONS, [])
    two.create("us-east-1", ACCOUNT, "two", DESTINATIONS, [])
    with pytest.raises(ApiError, match="ChannelMaxLimitExceeded"):
        one.create("us-east-1", ACCOUNT, "three", DESTINATIONS, [])
    assert one.create("eu-west-1", ACCOUNT, "one", DESTINATIONS, []).region == "eu-west-1"


def test_an_event_is_a_record_with_the_bytes_of_its_parameters(served: Served) -> None:
    arn = made(served, "records")
    answer = put(served.client("cloudtrail-data", "writer"), arn, data())
    event_id = natural_event_id(arn, "id-0")
    assert answer["successful"] == [{"id": "id-0", "eventID": event_id}]
    assert answer["failed"] == []
    record = served.log.put()[-1]
    assert record["eventID"] == event_id
    assert record["eventCategory"] == "ActivityAuditLog"
    assert record["recipientAccountId"] == ACCOUNT
    assert record["awsRegion"] == "us-east-1"
    assert record["requestParameters"] == {"invoice": 12345678901234567890123, "list": [1, 2]}
    assert record["userIdentity"]["details"] == {"team": "a"}
    assert record["metadata"] == {"channelARN": arn, "UID": "u-1", "version": "1"}


def test_a_repeat_gives_the_same_answer_and_the_same_record(served: Served) -> None:
    arn = made(served, "repeats")
    client = served.client("cloudtrail-data", "writer")
    first = put(client, arn, data())
    one = served.log.put()[-1]
    assert put(client, arn, data())["successful"] == first["successful"]
    assert served.log.put()[-1] == one
    assert put(client, made(served, "repeats2"), data())["successful"] != first["successful"]


def without(name: str) -> dict[str, Any]:
    members = data()
    del members[name]
    return members


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("{", "InvalidData"),
        ("[]", "InvalidData"),
        ("", "InvalidData"),
        ('{"a":' * 3000, "InvalidData"),
        (without("UID"), "FieldNotFound"),
        (without("eventTime"), "FieldNotFound"),
        (data(eventName=None), "FieldNotFound"),
        (data(userIdentity={"type": "User"}), "FieldNotFound"),
        (data(userIdentity="alice"), "InvalidData"),
        (data(eventName=5), "InvalidData"),
        (data(eventName=""), "InvalidData"),
        (data(eventName="x" * 257), "FieldTooLong"),
        (data(errorMessage="x" * 257), "FieldTooLong"),
        (data(userIdentity={"type": "t" * 129, "principalId": "p"}), "FieldTooLong"),
        (data(additionalEventData={"a": "x" * 28 * 1024}), "FieldTooLong"),
        (data(requestParameters={"a": "x" * 100 * 1024}), "FieldTooLong"),
        (data(requestParameters=[1]), "InvalidData"),
        (data(eventTime="yesterday"), "InvalidData"),
        (data(eventTime="2026-01-03T00:00:00Z"), "InvalidData"),
        (data(recipientAccountId="12"), "InvalidRecipient"),
        (data(eventSource="iam.amazonaws.com"), "InvalidEventSource"),
        (data(eventSource="IAM.AmazonAWS.com."), "InvalidEventSource"),
    ],
)
def test_each_item_has_its_own_error_and_the_others_are_taken(
    served: Served, event: Any, code: str
) -> None:
    arn = getattr(served, "errors_arn", None) or made(served, "errors")
    served.errors_arn = arn  # type: ignore[attr-defined]
    before = len(served.log.put())
    answer = put(served.client("cloudtrail-data", "writer"), arn, data(), event, data())
    assert [each["id"] for each in answer["successful"]] == ["id-0", "id-2"]
    assert [(each["id"], each["errorCode"]) for each in answer["failed"]] == [("id-1", code)]
    assert len(served.log.put()) == before + 2


def test_a_checksum_is_checked(served: Served) -> None:
    arn = made(served, "checksums")
    text = json.dumps(data())
    right = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    answer = served.client("cloudtrail-data", "writer").put_audit_events(
        channelArn=arn,
        auditEvents=[
            {"id": "right", "eventData": text, "eventDataChecksum": right},
            {"id": "wrong", "eventData": text + " ", "eventDataChecksum": right},
        ],
    )
    assert [each["id"] for each in answer["successful"]] == ["right"]
    assert [each["errorCode"] for each in answer["failed"]] == ["InvalidChecksum"]


def test_the_recipient_is_one_of_the_keys_accounts(served: Served) -> None:
    arn = made(served, "recipients")
    client = served.client("cloudtrail-data", "writer", accounts=(OTHER,))
    answer = put(client, arn, data(), data(recipientAccountId=OTHER))
    assert [each["id"] for each in answer["successful"]] == ["id-1"]
    assert [each["errorCode"] for each in answer["failed"]] == ["InvalidRecipient"]


def test_the_whole_request_is_refused_by_name(served: Served) -> None:
    arn = made(served, "requests")
    client = served.client("cloudtrail-data", "writer")
    item = {"id": "same", "eventData": json.dumps(data())}
    for given, code in (
        ({"auditEvents": [item, item]}, "DuplicatedAuditEventId"),
        ({"channelArn": "arn:aws:s3:::x"}, "InvalidChannelARN"),
        ({"channelArn": "no arn"}, "InvalidChannelARN"),
        ({"channelArn": arn[:-1] + "x"}, "ChannelNotFound"),
        ({"auditEvents": [{**item, "id": f"{n}"} for n in range(101)]}, "ValidationException"),
        ({"auditEvents": [{**item, "id": "with space"}]}, "ValidationException"),
    ):
        with pytest.raises(ClientError) as caught:
            client.put_audit_events(**{"channelArn": arn, "auditEvents": [item], **given})
        assert code_of(caught) == code, given
    with pytest.raises(ClientError) as caught:
        put(served.client("cloudtrail-data", "reader"), arn, data())
    assert code_of(caught) == "AccessDeniedException"


def test_what_is_not_durable_is_answered_with_503(served: Served) -> None:
    arn = made(served, "unavailable")
    client = served.client("cloudtrail-data", "writer")
    served.log.refuses = "the log is full"
    try:
        with pytest.raises(ClientError) as caught:
            put(client, arn, data())
    finally:
        served.log.refuses = ""
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_the_calls_own_event_names_the_items_and_not_their_content(served: Served) -> None:
    arn = made(served, "own")
    put(served.client("cloudtrail-data", "writer"), arn, data(eventName="Secret"))
    own = served.log.own()[-1]
    assert own["eventName"] == "PutAuditEvents"
    assert own["requestParameters"] == {"auditEvents": [{"id": "id-0"}], "channelArn": arn}
