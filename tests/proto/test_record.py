"""What is admitted as an event, and where and under which key it is kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.identity import (
    canonical_region,
    derived_event_id,
    event_key,
    global_region,
    hour_of,
    is_global,
)
from opentrail.limits import EVENT_MAX_BYTES, JSON_MAX_DEPTH
from opentrail.record import REASONS, Admitted, Refused, admit, decode_views, parse_time

GOOD: dict[str, Any] = {
    "eventVersion": "1.11",
    "userIdentity": {"type": "IAMUser", "accountId": "111122223333"},
    "eventTime": "2026-01-02T03:04:05Z",
    "eventSource": "ec2.amazonaws.com",
    "eventName": "RunInstances",
    "awsRegion": "eu-west-1",
    "eventID": "6f70656e-0000-4000-8000-000000000000",
}


def line(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in (GOOD | changes).items() if v is not None}).encode()


def test_an_ordinary_record_is_admitted_with_its_account_region_and_time() -> None:
    found = admit(line())
    assert isinstance(found, Admitted)
    assert (found.account, found.region, found.time_s) == (
        "111122223333",
        "eu-west-1",
        1767323045,
    )
    assert found.event_id == GOOD["eventID"]


def test_the_recipient_is_the_account_before_the_caller_and_the_source_comes_last() -> None:
    found = admit(line(recipientAccountId="999988887777"))
    assert isinstance(found, Admitted)
    assert found.account == "999988887777"
    found = admit(line(userIdentity={"type": "AWSService"}), account="444455556666")
    assert isinstance(found, Admitted)
    assert found.account == "444455556666"


def test_the_source_stands_in_for_a_missing_region_and_id() -> None:
    found = admit(line(awsRegion=None, eventID=None), region="dc-1", derived_id="d")
    assert isinstance(found, Admitted)
    assert (found.region, found.event_id) == ("dc-1", "d")


def test_an_aggregated_record_is_dated_by_its_windows_end() -> None:
    found = admit(
        line(
            eventTime=None,
            eventID=None,
            eventId="e",
            userIdentity=None,
            accountId="111122223333",
            timeWindow={"windowEnd": "2026-01-02T03:05:00Z"},
        )
    )
    assert isinstance(found, Admitted)
    assert (found.time_s, found.event_id) == (1767323100, "e")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"nonsense", "not_json"),
        (b"{}{}", "not_json"),
        (b"[1]", "not_object"),
        (b'"text"', "not_object"),
        (b"7", "not_object"),
        (b'{"a":"\xff"}', "bad_utf8"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "too_deep"),
        (line(pad="x" * EVENT_MAX_BYTES), "too_large"),
        (line(eventTime=None), "no_event_time"),
        (line(eventTime=5), "no_event_time"),
        (line(eventTime="yesterday"), "no_event_time"),
        (line(eventTime="2026-02-30T00:00:00Z"), "no_event_time"),
        (line(recipientAccountId="../../../etc"), "bad_account"),
        (line(recipientAccountId="١١١١٢٢٢٢٣٣٣٣"), "bad_account"),
        (line(recipientAccountId="1111222233334"), "bad_account"),
        (line(userIdentity=7), "bad_account"),
        (line(awsRegion="../x"), "bad_region"),
        (line(awsRegion="EU-WEST-1"), "bad_region"),
        (line(awsRegion="r" * 41), "bad_region"),
        (line(awsRegion=None), "bad_region"),
        (line(eventID=None), "no_event_id"),
        (line(eventID="a\x00b"), "bad_event_id"),
        (line(eventID="x" * 257), "bad_event_id"),
    ],
)
def test_what_is_no_event_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    found = admit(data)
    assert isinstance(found, Refused), found
    assert found.reason == reason
    assert reason in REASONS


@pytest.mark.parametrize(
    "change",
    [
        {"eventSource": 5},
        {"readOnly": "yes"},
        {"userIdentity": {"accountId": "111122223333", "arn": {"a": 1}}},
        {"additionalEventData": [1, 2]},
        {"errorCode": {"deep": [1]}},
        {"sourceIPAddress": None},
    ],
)
def test_members_of_strange_types_cost_a_record_nothing(change: dict[str, Any]) -> None:
    assert isinstance(admit(line(**change)), Admitted)


@pytest.mark.parametrize("stack", [0, 100])
def test_how_deep_a_record_may_nest_does_not_depend_on_who_asks(stack: int) -> None:
    def ask(brackets: int, further: int) -> Admitted | Refused:
        if further:
            return ask(brackets, further - 1)
        return admit(line(deep="!").replace(b'"!"', b"[" * brackets + b"]" * brackets))

    assert isinstance(ask(JSON_MAX_DEPTH - 1, stack), Admitted)
    assert ask(JSON_MAX_DEPTH, stack) == Refused("too_deep")


def test_brackets_in_strings_and_side_by_side_are_not_nesting() -> None:
    wide: list[object] = [{"a": '\\"[{[{' * JSON_MAX_DEPTH, "b": [1]}] * 3 + [[]] * JSON_MAX_DEPTH
    assert isinstance(admit(line(wide=wide)), Admitted)


@given(st.binary(max_size=100))
def test_any_bytes_are_admitted_or_refused_but_never_raise(data: bytes) -> None:
    assert isinstance(admit(data), Admitted | Refused)


def test_many_lines_are_decoded_at_once() -> None:
    views = decode_views(line() + b"\n" + line(eventName="X") + b"\n")
    assert [view.eventName for view in views] == ["RunInstances", "X"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1900-01-01T00:00:00Z", -2208988800),
        ("2999-12-31T23:59:59Z", 32503679999),
        ("2026-01-02T03:04:05.999Z", 1767323045),
        ("2026-01-02T04:04:05+01:00", 1767323045),
        ("2026-01-01T22:34:05-0430", 1767323045),
        ("2016-12-31T23:59:60Z", 1483228800),
        ("2026-1-2T03:04:05Z", None),
        ("2026-01-02 03:04:05", None),
        ("0000-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_as_rfc_3339(text: str, seconds: int | None) -> None:
    assert parse_time(text) == seconds


def admitted(**changes: Any) -> Admitted:
    found = admit(line(**changes))
    assert isinstance(found, Admitted)
    return found


@pytest.mark.parametrize("service", ["iam", "organizations", "cloudfront", "route53", "health"])
@pytest.mark.parametrize(
    ("arn", "region", "expected"),
    [
        ("arn:aws:iam::111122223333:user/a", "eu-west-1", "us-east-1"),
        ("arn:aws-cn:iam::111122223333:user/a", "eu-west-1", "cn-north-1"),
        ("arn:aws-us-gov:iam::111122223333:user/a", "eu-west-1", "us-gov-west-1"),
        (None, "cn-northwest-1", "cn-north-1"),
        (None, "us-gov-east-1", "us-gov-west-1"),
        (None, "dc-paris-1", "us-east-1"),
    ],
)
def test_global_services_belong_to_the_global_region_of_their_partition(
    service: str, arn: str | None, region: str, expected: str
) -> None:
    identity = {"accountId": "111122223333"} | ({"arn": arn} if arn else {})
    found = admitted(
        eventSource=f"{service}.amazonaws.com", userIdentity=identity, awsRegion=region
    )
    assert canonical_region(found.view, found.region) == expected


def test_sts_and_signin_are_global_only_where_the_record_says_so() -> None:
    regional = admitted(eventSource="sts.amazonaws.com")
    assert canonical_region(regional.view, regional.region) == "eu-west-1"
    endpoint = admitted(
        eventSource="sts.amazonaws.com",
        additionalEventData={"RequestDetails": {"endpointType": "global"}},
    )
    assert canonical_region(endpoint.view, endpoint.region) == "us-east-1"
    root = admitted(
        eventSource="signin.amazonaws.com",
        userIdentity={"type": "Root", "accountId": "111122223333"},
    )
    assert canonical_region(root.view, root.region) == "us-east-1"


def test_sts_in_the_global_region_says_that_it_is_global() -> None:
    assert is_global(admitted(eventSource="sts.amazonaws.com", awsRegion="us-east-1").view)
    assert not is_global(admitted(eventSource="sts.amazonaws.com", awsRegion="us-east-2").view)
    assert is_global(admitted(eventSource="signin.amazonaws.com", awsRegion="cn-north-1").view)


def test_further_services_can_be_made_global() -> None:
    found = admitted(eventSource="directory.example.org")
    assert canonical_region(found.view, found.region) == "eu-west-1"
    listed = frozenset(("directory.example.org",))
    assert canonical_region(found.view, found.region, listed) == "us-east-1"
    assert global_region(found.view, "cn-north-1") == "cn-north-1"


def test_a_key_is_of_account_id_and_hour() -> None:
    keys = {
        event_key(account, event_id, hour)
        for account in ("111122223333", "111122223334")
        for event_id in ("a", "b", "a\0b")
        for hour in (-1, 0, 1)
    }
    assert len(keys) == 18
    assert event_key("111122223333", "a", 5).hex() == "8019fc4673f323d023c5130f1f8bc801"
    assert [hour_of(s) for s in (-1, 0, 3599, 3600)] == [-1, 0, 0, 1]


def test_a_derived_id_is_of_generation_offset_and_bytes() -> None:
    ids = {
        derived_event_id(generation, offset, data)
        for generation in ("g", "h")
        for offset in (0, 1)
        for data in (b"x", b"y")
    }
    assert len(ids) == 8
    assert derived_event_id("g", 0, b"x") == derived_event_id("g", 0, b"x")
