"""Username and Resources are derived as LookupEvents derives them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail_aggregator.search.lookup import lookup_event, resources, username


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ({"type": "IAMUser", "userName": "alice", "principalId": "AIDA1"}, "alice"),
        ({"type": "Root", "arn": "arn:aws:iam::1:root", "principalId": "1"}, "root"),
        ({"type": "AssumedRole", "principalId": "AROA1:session-7",
          "sessionContext": {"sessionIssuer": {"userName": "Admin"}}}, "session-7"),
        ({"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/Admin/s1"}, "s1"),
        ({"type": "FederatedUser", "principalId": "1:fed"}, "fed"),
        ({"type": "SAMLUser", "userName": "s@example.org"}, "s@example.org"),
        ({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, ""),
        ({"type": "AWSAccount", "principalId": "AIDA9", "accountId": "1"}, ""),
        ({"userName": 5, "principalId": None, "arn": []}, ""),
        ("text", ""),
        (None, ""),
    ],
)  # fmt: skip
def test_the_user_name_is(identity: Any, name: str) -> None:
    assert username({"userIdentity": identity}) == name


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"eventSource": "s3.amazonaws.com", "requestParameters": {"bucketName": "b", "key": "k"}},
         [("AWS::S3::Bucket", "b"), ("AWS::S3::Object", "k")]),
        ({"eventSource": "iam.amazonaws.com", "requestParameters": {"userName": "u"}},
         [("AWS::IAM::User", "u")]),
        ({"eventSource": "ec2.amazonaws.com", "requestParameters": {
            "instancesSet": {"items": [{"instanceId": "i-1"}, {"instanceId": "i-2"}, 7]}}},
         [("AWS::EC2::Instance", "i-1"), ("AWS::EC2::Instance", "i-2")]),
        ({"eventSource": "kms.amazonaws.com", "requestParameters": None,
          "resources": [{"ARN": "arn:k", "type": "AWS::KMS::Key"}, {"ARN": "arn:x"}, "odd", {}]},
         [("AWS::KMS::Key", "arn:k"), ("", "arn:x")]),
        ({"eventSource": "new.amazonaws.com", "requestParameters": {"name": "n"}}, []),
        ({"eventSource": 5, "requestParameters": "x", "resources": {"ARN": "y"}}, []),
    ],
)  # fmt: skip
def test_the_resources_are(record: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert resources(record) == found


@given(
    st.dictionaries(
        st.sampled_from(["userIdentity", "requestParameters", "resources", "eventSource"]),
        st.recursive(
            st.none() | st.text() | st.integers() | st.just("ec2.amazonaws.com"),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["userName", "ARN", "items", "instancesSet"]), inner
                )
            ),
        ),
    )
)
def test_no_record_is_too_strange_to_derive_from(record: dict[str, Any]) -> None:
    assert isinstance(username(record), str)
    assert all(isinstance(name, str) and name for _, name in resources(record))


def test_an_event_of_lookup_events_leaves_out_what_it_does_not_know() -> None:
    record = {"eventName": "X", "eventSource": "s.amazonaws.com", "readOnly": True}
    assert lookup_event(record, "id", "{}", 7) == {
        "EventId": "id", "EventName": "X", "ReadOnly": "true", "EventTime": 7,
        "EventSource": "s.amazonaws.com", "Resources": [], "CloudTrailEvent": "{}",
    }  # fmt: skip
