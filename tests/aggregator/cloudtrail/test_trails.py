"""The trail `default`, and what tools ask beside CloudTrail, with boto3."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from opentrail_aggregator.digest.keys import FileKeys
from tests.aggregator.cloudtrail.serving import ACCOUNT, OTHER, Served, serving

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/default"


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_the_trail_is_described_in_every_region(served: Served) -> None:
    (trail,) = served.client().describe_trails()["trailList"]
    assert trail == {
        "Name": "default",
        "S3BucketName": "opentrail",
        "IncludeGlobalServiceEvents": True,
        "IsMultiRegionTrail": True,
        "HomeRegion": "us-east-1",
        "TrailARN": ARN,
        "LogFileValidationEnabled": True,
        "HasCustomEventSelectors": True,
        "HasInsightSelectors": False,
        "IsOrganizationTrail": False,
        "RecursiveLogging": True,
    }
    abroad = served.client(region="eu-west-1")
    assert abroad.describe_trails()["trailList"] == [trail]
    assert abroad.describe_trails(includeShadowTrails=False)["trailList"] == []
    assert abroad.describe_trails(trailNameList=[ARN])["trailList"] == [trail]
    assert served.client().describe_trails(trailNameList=["unknown"])["trailList"] == []
    assert served.client().get_trail(Name="default")["Trail"] == trail
    assert served.client().list_trails()["Trails"] == [
        {"TrailARN": ARN, "Name": "default", "HomeRegion": "us-east-1"}
    ]


@pytest.mark.parametrize("name", ["default", ARN])
def test_name_or_arn_names_the_trail(served: Served, name: str) -> None:
    client = served.client()
    assert client.get_trail_status(Name=name)["IsLogging"] is True
    selectors = client.get_event_selectors(TrailName=name)
    assert [each["FieldSelectors"] for each in selectors["AdvancedEventSelectors"]] == [
        [{"Field": "eventCategory", "Equals": [category]}]
        for category in ("Management", "Data", "NetworkActivity")
    ]
    with pytest.raises(client.exceptions.InsightNotEnabledException):
        client.get_insight_selectors(TrailName=name)
    assert client.get_trail(Name=name)["Trail"]["TrailARN"] == ARN


def test_the_start_is_durable_and_nothing_is_said_of_what_never_was(
    served: Served, tmp_path: Path
) -> None:
    status = served.client().get_trail_status(Name="default")
    assert status["StartLoggingTime"] == datetime.fromtimestamp(served.now_s, UTC)
    assert status["TimeLoggingStarted"] == "2026-01-01T00:00:00Z"
    assert "LatestDeliveryTime" not in status
    assert status["LatestDeliveryAttemptTime"] == ""


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("other", "TrailNotFoundException"),
        (ARN + "x", "TrailNotFoundException"),
        ("ab", "InvalidTrailNameException"),
        ("a" * 129, "InvalidTrailNameException"),
        ("a b", "InvalidTrailNameException"),
        ("-abc", "InvalidTrailNameException"),
        ("abc-", "InvalidTrailNameException"),
        ("a..b", "InvalidTrailNameException"),
        ("1.2.3.4", "InvalidTrailNameException"),
        ("arn:aws:s3:::default", "CloudTrailARNInvalidException"),
    ],
)
def test_a_wrong_name_has_its_own_error(served: Served, name: str, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        served.client().get_trail(Name=name)
    assert code_of(caught) == code


def test_a_key_of_another_account_sees_no_trail(served: Served) -> None:
    client = served.client(accounts=(OTHER,))
    assert client.describe_trails(trailNameList=[ARN])["trailList"] == []
    assert client.list_trails()["Trails"] == []
    with pytest.raises(client.exceptions.TrailNotFoundException):
        client.get_trail_status(Name=ARN)


def test_tags_of_the_trail_are_none_and_unknown_resources_are_said(served: Served) -> None:
    client = served.client()
    assert client.list_tags(ResourceIdList=[ARN])["ResourceTagList"] == [
        {"ResourceId": ARN, "TagsList": []}
    ]
    for resource, code in (
        (ARN + "x", "ResourceNotFoundException"),
        ("default", "CloudTrailARNInvalidException"),
        (ARN.replace("trail/", "dashboard/"), "ResourceTypeNotSupportedException"),
    ):
        with pytest.raises(ClientError) as caught:
            client.list_tags(ResourceIdList=[resource])
        assert code_of(caught) == code


def test_public_keys_are_those_of_the_region_and_time(served: Served) -> None:
    keys = FileKeys(served.settings.place.keys / "digest")
    made = keys.key_for("eu-west-1", served.now_s).public
    client = served.client(region="eu-west-1")
    (found,) = client.list_public_keys()["PublicKeyList"]
    assert found["Value"] == base64.b64decode(made.value)
    assert found["Fingerprint"] == made.fingerprint
    assert found["ValidityStartTime"].timestamp() == made.valid_from
    assert client.list_public_keys(StartTime=0, EndTime=10)["PublicKeyList"] == []
    assert served.client(region="eu-west-2").list_public_keys()["PublicKeyList"] == []
    with pytest.raises(client.exceptions.InvalidTimeRangeException):
        client.list_public_keys(StartTime=20, EndTime=10)


def test_a_key_knows_who_it_is(served: Served) -> None:
    key = served.key("reader")
    answer = served.client("sts", key=key).get_caller_identity()
    assert answer["Account"] == ACCOUNT
    assert answer["UserId"] == key[0]
    assert answer["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/{key[0]}"
    own = served.client("sts", accounts=(OTHER,)).get_caller_identity()
    assert own["Account"] == OTHER
    with pytest.raises(ClientError) as caught:
        served.client("sts").get_session_token()
    assert code_of(caught) == "InvalidAction"


def test_there_is_an_organization_only_if_one_is_configured(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ClientError) as caught:
        served.client("organizations").describe_organization()
    assert code_of(caught) == "AWSOrganizationsNotInUseException"
    with pytest.raises(ClientError) as caught:
        served.client("organizations").list_accounts()
    assert code_of(caught) == "UnsupportedOperationException"
    with serving(tmp_path, cloudtrail__organization_id="o-exampleorgid") as configured:
        answer: Any = configured.client("organizations").describe_organization()
    assert answer["Organization"]["Id"] == "o-exampleorgid"
    assert answer["Organization"]["MasterAccountId"] == ACCOUNT
