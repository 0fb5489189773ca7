"""The wire: targets, errors and their shapes, limits, rights; and nothing a stranger can break."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import pytest
import urllib3
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail_aggregator.cloudtrail import model
from opentrail_aggregator.cloudtrail.operations import SUPPORTED, UNSUPPORTED
from tests.aggregator.cloudtrail import generate
from tests.aggregator.cloudtrail.serving import ACCOUNT, Served, serving

LONG = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101"
DATA_QUERY = "channelArn=arn%3Aaws%3Acloudtrail%3Aus-east-1%3A000000000000%3Achannel%2Fabc"
POOL = urllib3.PoolManager()


@pytest.fixture(scope="module", autouse=True)
def closed_pool() -> Iterator[None]:
    yield
    POOL.clear()


def signed(
    served: Served,
    body: bytes,
    target: str = "",
    *,
    service: str = "cloudtrail",
    path: str = "/",
    method: str = "POST",
    region: str = "us-east-1",
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request with any body at all."""
    wanted = getattr(served, "raw_key", None) or served.key()
    served.raw_key = wanted  # type: ignore[attr-defined]
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    if target:
        headers["X-Amz-Target"] = target
    request = botocore.awsrequest.AWSRequest(method, served.url + path, headers, body)
    credentials = botocore.credentials.Credentials(*wanted)
    botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    answer = POOL.request(
        method, served.url + path, body=body, headers=dict(request.headers.items()), retries=False
    )
    return answer.status, dict(answer.headers), answer.data


def error_of(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    told = json.loads(answer[2])
    assert told["message"]
    return answer[0], str(told["__type"])


def test_the_table_is_complete_and_the_generated_files_are_as_the_model_says() -> None:
    names = {name for each in generate.models().values() for name in each.operation_names}
    assert set(SUPPORTED) | set(UNSUPPORTED) == names
    assert not set(SUPPORTED) & set(UNSUPPORTED)
    run = "run `python -m tests.aggregator.cloudtrail.generate`"
    assert generate.MODEL.read_text() == generate.model_json(), run
    assert generate.PAGE.read_text() == generate.page(), run


def test_every_supported_operation_is_answered_by_somebody(served: Served) -> None:
    for name in SUPPORTED:
        service = "cloudtrail-data" if name == "PutAuditEvents" else "cloudtrail"
        path = "/PutAuditEvents" if name == "PutAuditEvents" else "/"
        target = "" if name == "PutAuditEvents" else f"{LONG}.{name}"
        status, _, body = signed(served, b"{}", target, service=service, path=path)
        assert status == 200 or model.is_modelled(name, json.loads(body)["__type"]), name


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_an_unsupported_operation_says_why(served: Served, name: str) -> None:
    answer = signed(served, b"{}", f"{LONG}.{name}")
    assert error_of(answer) == (400, "UnsupportedOperationException")
    assert json.loads(answer[2])["message"] == UNSUPPORTED[name]


def test_long_and_short_targets_name_the_same(served: Served) -> None:
    for target in (f"{LONG}.ListTrails", "CloudTrail_20131101.ListTrails"):
        status, headers, body = signed(served, b"{}", target)
        assert status == 200
        assert headers["Content-Type"] == "application/x-amz-json-1.1"
        assert json.loads(body)["Trails"][0]["Name"] == "default"


@pytest.mark.parametrize(
    ("body", "target", "code"),
    [
        (b"{}", "", "UnknownOperationException"),
        (b"{}", f"{LONG}.Nothing", "UnknownOperationException"),
        (b"{}", "Other.ListTrails", "UnknownOperationException"),
        (b"{}", f"{LONG}.PutAuditEvents", "UnknownOperationException"),
        (b"{", f"{LONG}.ListTrails", "SerializationException"),
        (b"[]", f"{LONG}.ListTrails", "SerializationException"),
        (b"\xff", f"{LONG}.ListTrails", "SerializationException"),
        (b'{"Name":' * 5000, f"{LONG}.GetTrail", "SerializationException"),
        (b'{"MaxResults": "5"}', f"{LONG}.LookupEvents", "SerializationException"),
        (b'{"MaxResults": true}', f"{LONG}.LookupEvents", "SerializationException"),
        (b'{"StartTime": "today"}', f"{LONG}.LookupEvents", "SerializationException"),
        (b'{"StartTime": 1e300}', f"{LONG}.LookupEvents", "InvalidTimeRangeException"),
        (b'{"MaxResults": 0}', f"{LONG}.LookupEvents", "InvalidMaxResultsException"),
        (b"{}", f"{LONG}.GetTrail", "ValidationException"),
    ],
)
def test_what_is_no_request_has_awss_name(
    served: Served, body: bytes, target: str, code: str
) -> None:
    assert error_of(signed(served, body, target)) == (400, code)


@pytest.mark.parametrize("region", ["..", ".", "US-EAST-1", "a b", "x" * 41, "a%2f"])
def test_what_is_no_region_reaches_no_store(served: Served, region: str) -> None:
    for name in ("ListPublicKeys", "ListChannels", "LookupEvents"):
        answer = signed(served, b"{}", f"{LONG}.{name}", region=region)
        assert error_of(answer) == (400, "AccessDeniedException")


def test_the_region_all_is_for_looking_only(served: Served) -> None:
    for name in ("ListPublicKeys", "ListChannels", "DescribeTrails"):
        answer = signed(served, b"{}", f"{LONG}.{name}", region="all")
        assert error_of(answer) == (400, "AccessDeniedException")
    assert signed(served, b"{}", f"{LONG}.LookupEvents", region="all")[0] == 200


def test_a_damaged_store_is_a_503_that_names_no_path(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.settings.place.channels.mkdir()
        (served.settings.place.channels / "channels.json").write_text("{")
        answer = signed(served, b"{}", f"{LONG}.ListChannels")
        assert error_of(answer) == (503, "ServiceUnavailable")
        assert str(tmp_path).encode() not in answer[2]
        assert served.log.own()[-1]["eventName"] == "ListChannels"


def test_an_error_carries_the_request_id_that_the_history_has(served: Served) -> None:
    _, headers, _ = signed(served, b'{"Name":"nothing"}', f"{LONG}.GetTrail")
    own = served.log.own()[-1]
    assert own["requestID"] == headers["x-amzn-RequestId"]
    assert own["errorCode"] == "TrailNotFoundException"


def test_a_refused_call_is_in_the_history(served: Served) -> None:
    with pytest.raises(ClientError):
        served.client(role="reader").create_channel(
            Name="abc", Source="Custom", Destinations=[{"Type": "AWS_SERVICE", "Location": "abc"}]
        )
    own = served.log.own()[-1]
    assert (own["eventName"], own["errorCode"]) == ("CreateChannel", "AccessDeniedException")


def test_too_many_calls_of_one_operation_by_one_key_are_throttled(tmp_path: Path) -> None:
    with serving(tmp_path, cloudtrail__calls_per_second="1") as served:
        client = served.client()
        client.list_trails()
        client.list_trails()
        with pytest.raises(ClientError) as caught:
            client.list_trails()
        assert caught.value.response["Error"]["Code"] == "ThrottlingException"
        client.describe_trails()
        served.client(role="auditor").list_trails()
        served.store.clock.advance(1.0)
        client.list_trails()


def test_events_that_are_not_utf8_or_not_json_are_one_items_error(served: Served) -> None:
    destination = [{"Type": "AWS_SERVICE", "Location": "abc"}]
    arn = served.client().create_channel(
        Name="surrogates", Source="Custom", Destinations=destination
    )["ChannelArn"]
    item = {"id": "a", "eventData": '{"version": "\\ud800"}'}
    answer = served.client("cloudtrail-data").put_audit_events(channelArn=arn, auditEvents=[item])
    assert answer["failed"][0]["errorCode"] in ("InvalidData", "FieldNotFound")


# Hostile: every member of every operation, of any type and beyond any bound.

_SESSION = botocore.session.get_session()
_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
_JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["default", f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/default", "Custom", "arn:aws:",
     f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:channel/abc", "x" * 3000, "a b", "\x00"]
)  # fmt: skip


def _plausible(shape: Any) -> st.SearchStrategy[Any]:
    """Mostly of the right type; bounds, patterns and enums are met by chance."""
    kind = shape.type_name
    if kind == "structure":
        members = {name: _any_or(_plausible(each)) for name, each in shape.members.items()}
        return st.fixed_dictionaries({}, optional=members)
    if kind == "list":
        return st.lists(_any_or(_plausible(shape.member)), max_size=3)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(-2, 60)
    if kind == "timestamp":
        return st.floats(-1e12, 1e12) | st.integers(1_700_000_000, 1_800_000_000)
    known = st.sampled_from(shape.metadata["enum"]) if "enum" in shape.metadata else _NAMES
    return known | _TEXT


def _any_or(expected: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda number: _JUNK if number == 0 else expected)


_INPUTS = {
    name: _plausible(each.operation_model(name).input_shape)
    for each in generate.models().values()
    for name in each.operation_names
    if name in SUPPORTED
}


@pytest.mark.parametrize("name", sorted(SUPPORTED))
@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(data=st.data())
def test_whatever_comes_is_answered_or_refused_by_a_modelled_error(
    served: Served, name: str, data: st.DataObject
) -> None:
    body = json.dumps(data.draw(_any_or(_INPUTS[name]))).encode()
    if name == "PutAuditEvents":
        path = f"/PutAuditEvents?{DATA_QUERY}"
        status, _, answer = signed(served, body, service="cloudtrail-data", path=path)
    else:
        status, _, answer = signed(served, body, f"{LONG}.{name}")
    if status != 200:
        assert status == 400, answer
        assert model.is_modelled(name, json.loads(answer)["__type"]), answer


@settings(
    max_examples=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    body=st.binary(max_size=200),
    service=st.sampled_from(["cloudtrail", "cloudtrail-data", "sts", "organizations"]),
    path=st.sampled_from(["/", "/PutAuditEvents", "/x?Action=GetCallerIdentity", "/?Action=%00"]),
    target=st.sampled_from(["", f"{LONG}.ListTags", f"{LONG}.", ".", "a.b.c", "é"]),
)
def test_bytes_of_any_kind_are_refused_and_break_nothing(
    served: Served, body: bytes, service: str, path: str, target: str
) -> None:
    status, _, _ = signed(
        served, body, target.encode().decode("latin-1"), service=service, path=path
    )
    assert status < 500
