"""Selectors take exactly the events AWS says they take, and are refused where AWS refuses them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail_aggregator.trails.predicate import SelectedView, compile_selectors
from opentrail_aggregator.trails.selectors import (
    SelectorError,
    Selectors,
    advanced_as_api,
    basic_as_api,
    read_selectors,
)


def takes(record: dict[str, Any], **given: Any) -> bool:
    view = msgspec.convert(record, SelectedView)
    selectors = read_selectors(**given) if given else Selectors()
    return compile_selectors(selectors)(view)


def advanced(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"advanced": [{"Name": "n", "FieldSelectors": list(fields)}]}


def field(name: str, **operators: list[str]) -> dict[str, Any]:
    return {"Field": name, **operators}


WRITE = {"eventCategory": "Management", "eventSource": "ec2.amazonaws.com", "readOnly": False}
READ = WRITE | {"readOnly": True}
KMS = READ | {"eventSource": "kms.amazonaws.com"}
OBJECT = {
    "eventCategory": "Data",
    "eventSource": "s3.amazonaws.com",
    "eventName": "PutObject",
    "readOnly": False,
    "resources": [
        {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::bucket-1/prefix/key"},
        {"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::bucket-1", "accountId": "1" * 12},
    ],
}
INVOKE = {
    "eventCategory": "Data",
    "eventSource": "lambda.amazonaws.com",
    "eventName": "Invoke",
    "resources": [
        {"type": "AWS::Lambda::Function", "ARN": "arn:aws:lambda:eu-west-1:111122223333:function:f"}
    ],
}
NETWORK = {
    "eventCategory": "NetworkActivity",
    "eventType": "AwsVpceEvent",
    "eventSource": "s3.amazonaws.com",
    "errorCode": "VpceAccessDenied",
    "vpcEndpointId": "vpce-1",
}
DATA = field("eventCategory", Equals=["Data"])
S3 = field("resources.type", Equals=["AWS::S3::Object"])


def test_a_trail_without_selectors_takes_all_management_events_and_nothing_else() -> None:
    assert [takes(r) for r in (WRITE, READ, KMS, OBJECT, INVOKE, NETWORK)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert takes({"eventSource": "x"}), "a record of before 1.07 says no category"


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        ({"ReadWriteType": "WriteOnly"}, [WRITE]),
        ({"ReadWriteType": "ReadOnly"}, [READ, KMS]),
        ({"ExcludeManagementEventSources": ["kms.amazonaws.com"]}, [WRITE, READ]),
        (
            {"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]},
            [WRITE, READ, KMS, OBJECT],
        ),
        (
            {
                "IncludeManagementEvents": False,
                "DataResources": [
                    {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::bucket-1/"]}
                ],
            },
            [OBJECT],
        ),
        (
            {
                "IncludeManagementEvents": False,
                "DataResources": [
                    {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::bucket-2/"]},
                    {"Type": "AWS::Lambda::Function", "Values": ["arn:aws:lambda"]},
                ],
            },
            [INVOKE],
        ),
        (
            {
                "IncludeManagementEvents": False,
                "DataResources": [
                    {
                        "Type": "AWS::Lambda::Function",
                        "Values": ["arn:aws:lambda:eu-west-1:111122223333:function:f"],
                    }
                ],
            },
            [INVOKE],
        ),
        (
            {
                "IncludeManagementEvents": False,
                "ReadWriteType": "ReadOnly",
                "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
            },
            [],
        ),
    ],
)
def test_a_basic_selector_takes_what_it_says(
    selector: dict[str, Any], taken: list[dict[str, Any]]
) -> None:
    everything: list[dict[str, Any]] = [WRITE, READ, KMS, OBJECT, INVOKE, NETWORK]
    assert [r for r in everything if takes(r, basic=[selector])] == taken


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ([field("eventCategory", Equals=["Management"])], [WRITE, READ, KMS]),
        (
            [
                field("eventCategory", Equals=["Management"]),
                field("eventSource", NotEquals=["kms.amazonaws.com"]),
                field("readOnly", Equals=["true"]),
            ],
            [READ],
        ),
        ([DATA, S3], [OBJECT]),
        ([DATA, S3, field("eventName", Equals=["GetObject"], StartsWith=["Put"])], [OBJECT]),
        (
            [DATA, S3, field("eventName", StartsWith=["Put"], NotEndsWith=["Object"])],
            [],
        ),
        ([DATA, S3, field("resources.ARN", StartsWith=["arn:aws:s3:::bucket-1/"])], [OBJECT]),
        # The bucket's ARN ends so, but it is no object.
        ([DATA, S3, field("resources.ARN", EndsWith=["bucket-1"])], []),
        ([DATA, S3, field("resources.ARN", NotStartsWith=["arn:aws:s3:::bucket-1/"])], []),
        ([DATA, field("resources.type", Equals=["AWS::Lambda::Function"])], [INVOKE]),
        (
            [
                field("eventCategory", Equals=["NetworkActivity"]),
                field("eventSource", Equals=["s3.amazonaws.com"]),
                field("errorCode", Equals=["VpceAccessDenied"]),
            ],
            [NETWORK],
        ),
    ],
)
def test_an_advanced_selector_takes_what_it_says(
    fields: list[dict[str, Any]], taken: list[dict[str, Any]]
) -> None:
    everything: list[dict[str, Any]] = [WRITE, READ, KMS, OBJECT, INVOKE, NETWORK]
    assert [r for r in everything if takes(r, **advanced(*fields))] == taken


def test_selectors_are_ored() -> None:
    both = {
        "advanced": [
            {"FieldSelectors": [field("eventCategory", Equals=["Management"])]},
            {"FieldSelectors": [DATA, S3]},
        ]
    }
    assert [takes(r, **both) for r in (WRITE, OBJECT, INVOKE)] == [True, True, False]


MANAGEMENT = field("eventCategory", Equals=["Management"])


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "one of EventSelectors"),
        ({"basic": [{}], "advanced": [{}]}, "cannot both"),
        ({"basic": [{}] * 6}, "at most 5"),
        ({"basic": [{"ReadWriteType": "Some"}]}, "ReadWriteType"),
        ({"basic": [{"IncludeManagementEvents": False}]}, "must take management events or data"),
        ({"basic": [{"ExcludeManagementEventSources": ["ec2.amazonaws.com"]}]}, "is not one of"),
        ({"basic": [{"DataResources": [{"Type": "AWS::SNS::Topic"}]}]}, "advanced event selectors"),
        (
            {"basic": [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["bucket"]}]}]},
            "is invalid",
        ),
        (
            {
                "basic": [
                    {
                        "DataResources": [
                            {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/"] * 251}
                        ]
                    }
                ]
            },
            "at most 250",
        ),
        (advanced(), "eventCategory is required"),
        (advanced(field("eventCategory", Equals=["Insight"])), "must be Equals with one of"),
        (advanced(field("eventCategory", NotEquals=["Data"])), "must be Equals"),
        (advanced(MANAGEMENT, MANAGEMENT), "only once"),
        (advanced(MANAGEMENT, field("eventName", Equals=["x"])), "is not a field of Management"),
        (advanced(MANAGEMENT, field("eventSource", Equals=["kms.amazonaws.com"])), "does not take"),
        (advanced(MANAGEMENT, field("eventSource", NotEquals=["x"])), "that can be left out"),
        (advanced(MANAGEMENT, field("readOnly", Equals=["yes"])), "true or false"),
        (advanced(DATA), "resources.type is required"),
        (advanced(DATA, field("resources.type", Equals=["S3"])), "is not like"),
        (advanced(field("eventCategory", Equals=["NetworkActivity"])), "eventSource is required"),
        (advanced(DATA, S3, field("eventName")), "no operator is given"),
        (advanced(DATA, S3, field("eventName", Like=["x"])), "is no operator"),
        (advanced(DATA, S3, field("eventName", Equals=[])), "has no values"),
        (advanced(DATA, S3, field("eventName", Equals=["x" * 2049])), "1 to 2048"),
        (advanced(DATA, S3, field("eventName", Equals=["x"] * 500)), "at most 500"),
        (advanced(field("event name", Equals=["x"])), "is no field name"),
    ],
)
def test_what_aws_refuses_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SelectorError, match=complaint):
        read_selectors(**given)


def test_what_was_set_is_what_is_answered() -> None:
    given = {"Name": "n", "FieldSelectors": [DATA, S3, field("eventName", NotEquals=["a", "b"])]}
    [selector] = read_selectors(advanced=[given]).advanced
    assert advanced_as_api(selector) == given
    assert basic_as_api(Selectors().basic[0]) == {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [],
        "ExcludeManagementEventSources": [],
    }
    assert Selectors().is_default


NAMES = ["PutObject", "GetObject", "PutAcl", "Get", ""]
ARNS = ["arn:aws:s3:::b/x", "arn:aws:s3:::b", "arn:aws:s3:::c/x/y"]
OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Equals": lambda text, value: text == value,
    "StartsWith": lambda text, value: text.startswith(value),
    "EndsWith": lambda text, value: text.endswith(value),
}


def slow(record: dict[str, Any], fields: list[dict[str, Any]]) -> bool:
    """The rules as they are written, without any cleverness."""
    if record["eventCategory"] != "Data":
        return False
    by_name = {f["Field"]: f for f in fields}

    def holds(condition: dict[str, Any], text: str | None) -> bool:
        selected, asked = False, False
        for operator, function in OPERATORS.items():
            for value in condition.get(operator, []):
                asked = True
                selected |= text is not None and function(text, value)
            for value in condition.get(f"Not{operator}", []):
                if text is not None and function(text, value):
                    return False
        return selected or not asked

    if "eventName" in by_name and not holds(by_name["eventName"], record.get("eventName")):
        return False
    for resource in record["resources"]:
        if resource["type"] == "AWS::S3::Object" and (
            "resources.ARN" not in by_name or holds(by_name["resources.ARN"], resource["ARN"])
        ):
            return True
    return False


def conditions(values: list[str]) -> st.SearchStrategy[dict[str, list[str]]]:
    texts = st.lists(st.sampled_from([v for v in values if v]), min_size=1, max_size=2)
    names = ["Equals", "StartsWith", "EndsWith", "NotEquals", "NotStartsWith", "NotEndsWith"]
    return st.dictionaries(st.sampled_from(names), texts, min_size=1, max_size=3)


@given(
    name=st.one_of(st.none(), conditions([*NAMES, "Put", "Object"])),
    arn=st.one_of(st.none(), conditions([*ARNS, "arn:aws:s3:::b/", "y"])),
    event=st.sampled_from(NAMES),
    category=st.sampled_from(["Data", "Management"]),
    resources=st.lists(
        st.tuples(st.sampled_from(["AWS::S3::Object", "AWS::S3::Bucket"]), st.sampled_from(ARNS)),
        max_size=3,
    ),
)
def test_the_compiled_test_says_what_the_slow_reference_says(
    name: dict[str, list[str]] | None,
    arn: dict[str, list[str]] | None,
    event: str,
    category: str,
    resources: list[tuple[str, str]],
) -> None:
    fields = [DATA, S3]
    if name is not None:
        fields.append(field("eventName", **name))
    if arn is not None:
        fields.append(field("resources.ARN", **arn))
    record = {
        "eventCategory": category,
        "eventName": event,
        "resources": [{"type": kind, "ARN": value} for kind, value in resources],
    }
    assert takes(record, **advanced(*fields)) == slow(record, fields)
