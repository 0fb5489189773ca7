"""What a message of a queue says, in every form in which it comes."""

import json
from typing import Any

import pytest

from opentrail_agent.s3.messages import objects_in

KEY = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/24/a b+c.json.gz"
ENCODED = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/24/a+b%2Bc.json.gz"


def s3_event(name: str = "ObjectCreated:Put") -> dict[str, Any]:
    s3 = {"bucket": {"name": "b"}, "object": {"key": ENCODED, "size": 1}}
    return {"Records": [{"eventSource": "aws:s3", "eventName": name, "s3": s3}]}


def by_sns(inside: object) -> dict[str, Any]:
    text = inside if isinstance(inside, str) else json.dumps(inside)
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:::t", "Message": text}


def event_bridge(kind: str = "Object Created") -> dict[str, Any]:
    detail = {"bucket": {"name": "b"}, "object": {"key": KEY}}
    return {"source": "aws.s3", "detail-type": kind, "detail": detail}


CLOUDTRAIL = {"s3Bucket": "b", "s3ObjectKey": [KEY, "other"]}


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (s3_event(), [("b", KEY)]),
        (s3_event("s3:ObjectCreated:CompleteMultipartUpload"), [("b", KEY)]),
        (s3_event("ObjectRemoved:Delete"), []),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}, []),
        (by_sns(s3_event()), [("b", KEY)]),
        (by_sns(by_sns(s3_event())), [("b", KEY)]),
        (CLOUDTRAIL, [("b", KEY), ("b", "other")]),
        (by_sns(CLOUDTRAIL), [("b", KEY), ("b", "other")]),
        (by_sns("CloudTrail validation message."), []),
        (event_bridge(), [("b", KEY)]),
        (event_bridge("Object Deleted"), []),
    ],
)
def test_every_form_is_read(message: object, found: list[tuple[str, str]]) -> None:
    assert objects_in(json.dumps(message)) == found


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("hello", "is not JSON"),
        ("[1]", "not an object"),
        ('{"a": 1}', "no known form"),
        ('{"Records": [{"eventName": "ObjectCreated:Put"}]}', "misses"),
        ('{"Records": [1]}', "misses"),
        ('{"s3Bucket": "b", "s3ObjectKey": [7]}', "misses"),
        ('{"source": "aws.s3", "detail-type": "Object Created"}', "misses"),
        ("[" * 100_000, "is not JSON"),
        (json.dumps(by_sns(by_sns(by_sns(by_sns(s3_event()))))), "wrapped"),
    ],
)
def test_what_names_no_object_is_said_to(body: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        objects_in(body)
