"""Trails made and changed with boto3; what is written into the log for it."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aggregator.cloudtrail.serving import ACCOUNT, OTHER, Served, serving

DEFAULT = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/default"
BUCKET = "opentrail"
CIS = [
    {"Field": "eventCategory", "Equals": ["Management"]},
    {"Field": "readOnly", "Equals": ["false"]},
]


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def arn_of(name: str, region: str = "us-east-1", account: str = ACCOUNT) -> str:
    return f"arn:aws:cloudtrail:{region}:{account}:trail/{name}"


@pytest.fixture
def alone(tmp_path: Path) -> Any:
    with serving(tmp_path, cloudtrail__calls_per_second="1000000") as made:
        yield made


def test_a_trail_lives_as_aws_s_does(alone: Served) -> None:
    client = alone.client()
    made = client.create_trail(
        Name="audit", S3BucketName=BUCKET, S3KeyPrefix="team/a", IsMultiRegionTrail=True,
        EnableLogFileValidation=True, TagsList=[{"Key": "team", "Value": "a"}],
    )  # fmt: skip
    del made["ResponseMetadata"]
    assert made == {
        "Name": "audit", "S3BucketName": BUCKET, "S3KeyPrefix": "team/a",
        "IncludeGlobalServiceEvents": True, "IsMultiRegionTrail": True,
        "TrailARN": arn_of("audit"), "LogFileValidationEnabled": True,
        "IsOrganizationTrail": False, "RecursiveLogging": True,
    }  # fmt: skip
    status = client.get_trail_status(Name="audit")
    assert (status["IsLogging"], status["TimeLoggingStarted"]) == (False, "")
    client.start_logging(Name=arn_of("audit"))
    status = client.get_trail_status(Name="audit")
    assert status["IsLogging"] is True
    assert status["StartLoggingTime"].timestamp() == alone.now_s
    client.stop_logging(Name="audit")
    assert client.get_trail_status(Name="audit")["StopLoggingTime"].timestamp() == alone.now_s

    found = client.get_trail(Name="audit")["Trail"]
    assert (found["HasCustomEventSelectors"], found["HasInsightSelectors"]) == (False, False)
    abroad = alone.client(region="eu-west-1")
    assert arn_of("audit") in {each["TrailARN"] for each in abroad.describe_trails()["trailList"]}
    assert abroad.describe_trails(includeShadowTrails=False)["trailList"] == []
    client.update_trail(Name="audit", IsMultiRegionTrail=False, S3KeyPrefix="team/b")
    found = client.get_trail(Name="audit")["Trail"]
    assert found["S3KeyPrefix"] == "team/b"
    assert (found["IsMultiRegionTrail"], found["IncludeGlobalServiceEvents"]) == (False, False)
    assert found["LogFileValidationEnabled"] is True
    assert [each["Name"] for each in abroad.describe_trails()["trailList"]] == ["default"]
    client.delete_trail(Name=arn_of("audit"))
    with pytest.raises(client.exceptions.TrailNotFoundException):
        client.get_trail(Name="audit")
    assert [each["Name"] for each in client.list_trails()["Trails"]] == ["default"]


def test_every_change_is_a_frame_with_the_whole_trail_and_a_higher_number(alone: Served) -> None:
    client = alone.client()
    client.create_trail(Name="audit", S3BucketName=BUCKET)
    client.start_logging(Name="audit")
    client.start_logging(Name="audit")  # Changes nothing: nothing to write.
    client.put_event_selectors(
        TrailName="audit", AdvancedEventSelectors=[{"Name": "writes", "FieldSelectors": CIS}]
    )
    client.delete_trail(Name="audit")
    frames = alone.log.controls
    assert [each["type"] for each in frames] == ["trail"] * 4
    assert {each["arn"] for each in frames} == {arn_of("audit")}
    numbers = [each["number"] for each in frames]
    assert numbers == sorted(set(numbers))
    assert [each["trail"] and each["trail"].get("logging", False) for each in frames] == [
        False, True, True, None,
    ]  # fmt: skip
    assert frames[2]["trail"]["advanced"] == [{"Name": "writes", "FieldSelectors": CIS}]


def test_a_change_that_the_log_refuses_did_not_happen(alone: Served) -> None:
    client = alone.client()
    alone.log.refuses = "the log is full"
    with pytest.raises(ClientError) as caught:
        client.create_trail(Name="audit", S3BucketName=BUCKET)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    alone.log.refuses = ""
    assert [each["Name"] for each in client.list_trails()["Trails"]] == ["default"]
    client.create_trail(Name="audit", S3BucketName=BUCKET)
    assert len(alone.log.controls) == 1


def test_a_change_whose_answer_was_lost_is_written_again_before_the_next(alone: Served) -> None:
    client = alone.client()
    alone.log.loses_answers = True
    with pytest.raises(ClientError):
        client.create_trail(Name="audit", S3BucketName=BUCKET)
    alone.log.loses_answers = False
    with pytest.raises(client.exceptions.TrailAlreadyExistsException):
        client.create_trail(Name="audit", S3BucketName=BUCKET)
    first, second = alone.log.controls
    assert first == second
    assert client.get_trail(Name="audit")["Trail"]["TrailARN"] == arn_of("audit")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"S3BucketName": "elsewhere"}, "S3BucketDoesNotExistException"),
        ({"S3BucketName": "NoBucket_"}, "InvalidS3BucketNameException"),
        ({"S3KeyPrefix": "a//b"}, "InvalidS3PrefixException"),
        ({"S3KeyPrefix": "a" * 201}, "InvalidS3PrefixException"),
        ({"Name": "ab"}, "InvalidTrailNameException"),
        ({"Name": "default"}, "TrailAlreadyExistsException"),
        ({"KmsKeyId": "alias/mine"}, "KmsKeyNotFoundException"),
        ({"KmsKeyId": "not a key!"}, "InvalidKmsKeyIdException"),
        ({"IsOrganizationTrail": True}, "OrganizationsNotInUseException"),
        ({"SnsTopicName": "topic"}, "UnsupportedOperationException"),
        (
            {"CloudWatchLogsLogGroupArn": "arn:aws:logs:us-east-1:0:log-group:a"},
            "CloudWatchLogsDeliveryUnavailableException",
        ),
        (
            {"IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": False},
            "InvalidParameterCombinationException",
        ),
        ({"TagsList": [{"Key": "a"}, {"Key": "a"}]}, "InvalidTagParameterException"),
        ({"TagsList": [{"Key": f"k{i}"} for i in range(51)]}, "TagsLimitExceededException"),
    ],
)
def test_create_trail_refuses_in_aws_s_words(
    served: Served, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        served.client().create_trail(**{"Name": "audit-x", "S3BucketName": BUCKET, **changes})
    assert code_of(caught) == code
    assert [each["Name"] for each in served.client().list_trails()["Trails"]] == ["default"]


def test_five_trails_a_region_multi_region_ones_in_each(alone: Served) -> None:
    client, abroad = alone.client(), alone.client(region="eu-west-1")
    for number in range(4):
        client.create_trail(Name=f"trail-{number}", S3BucketName=BUCKET)
    client.create_trail(Name="wide", S3BucketName=BUCKET, IsMultiRegionTrail=True)
    with pytest.raises(client.exceptions.MaximumNumberOfTrailsExceededException):
        client.create_trail(Name="one-more", S3BucketName=BUCKET)
    for number in range(4):
        abroad.create_trail(Name=f"trail-{number}", S3BucketName=BUCKET)
    with pytest.raises(client.exceptions.MaximumNumberOfTrailsExceededException):
        abroad.create_trail(Name="one-more", S3BucketName=BUCKET)
    with pytest.raises(client.exceptions.MaximumNumberOfTrailsExceededException):
        client.update_trail(Name="trail-0", IsMultiRegionTrail=True)
    other = alone.client(accounts=(OTHER,))
    made = other.create_trail(Name="trail-0", S3BucketName=BUCKET)
    assert made["TrailARN"] == arn_of("trail-0", account=OTHER)


def test_a_trail_is_changed_in_its_home_region_by_its_account(alone: Served) -> None:
    client, abroad = alone.client(), alone.client(region="eu-west-1")
    client.create_trail(Name="audit", S3BucketName=BUCKET, IsMultiRegionTrail=True)
    for call, name in (
        ("stop_logging", "Name"), ("start_logging", "Name"), ("delete_trail", "Name"),
        ("update_trail", "Name"),
    ):  # fmt: skip
        with pytest.raises(abroad.exceptions.InvalidHomeRegionException):
            getattr(abroad, call)(**{name: arn_of("audit")})
    stranger = alone.client(accounts=(OTHER,))
    with pytest.raises(stranger.exceptions.TrailNotFoundException):
        stranger.delete_trail(Name=arn_of("audit"))
    auditor = alone.client(role="auditor")
    with pytest.raises(ClientError) as caught:
        auditor.stop_logging(Name="audit")
    assert code_of(caught) == "AccessDeniedException"
    assert client.get_trail(Name="audit")["Trail"]["HomeRegion"] == "us-east-1"


def test_the_default_trail_can_be_stopped_and_given_selectors_but_not_moved(
    alone: Served,
) -> None:
    client = alone.client()
    with pytest.raises(client.exceptions.OperationNotPermittedException):
        client.delete_trail(Name="default")
    for changes in ({"S3KeyPrefix": "other"}, {"IsMultiRegionTrail": False}):
        with pytest.raises(client.exceptions.OperationNotPermittedException):
            client.update_trail(Name="default", **changes)
    same = client.update_trail(Name="default", S3BucketName=BUCKET, EnableLogFileValidation=True)
    assert same["TrailARN"] == DEFAULT
    client.stop_logging(Name="default")
    assert client.get_trail_status(Name="default")["IsLogging"] is False
    client.start_logging(Name=DEFAULT)
    told = client.get_event_selectors(TrailName="default")["AdvancedEventSelectors"]
    client.put_event_selectors(
        TrailName="default", AdvancedEventSelectors=[{"Name": "w", "FieldSelectors": CIS}]
    )
    assert client.get_event_selectors(TrailName="default")["AdvancedEventSelectors"] != told
    client.put_event_selectors(TrailName="default", AdvancedEventSelectors=told)
    assert alone.log.controls[-1]["trail"]["everything"] is True
    assert client.get_event_selectors(TrailName="default")["AdvancedEventSelectors"] == told


def test_selectors_are_told_back_and_one_kind_erases_the_other(alone: Served) -> None:
    client = alone.client()
    client.create_trail(Name="audit", S3BucketName=BUCKET)
    default = {
        "ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [],
        "ExcludeManagementEventSources": [],
    }  # fmt: skip
    assert client.get_event_selectors(TrailName="audit")["EventSelectors"] == [default]
    basic = {
        **default, "ReadWriteType": "WriteOnly",
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
    }  # fmt: skip
    answer = client.put_event_selectors(TrailName="audit", EventSelectors=[basic])
    assert (answer["EventSelectors"], "AdvancedEventSelectors" in answer) == ([basic], False)
    assert client.get_trail(Name="audit")["Trail"]["HasCustomEventSelectors"] is True
    advanced = [{"Name": "w", "FieldSelectors": CIS}]
    client.put_event_selectors(TrailName="audit", AdvancedEventSelectors=advanced)
    found = client.get_event_selectors(TrailName="audit")
    assert (found["AdvancedEventSelectors"], "EventSelectors" in found) == (advanced, False)
    for wrong in (
        {"EventSelectors": [basic], "AdvancedEventSelectors": advanced},
        {},
        {"EventSelectors": [{**basic, "ReadWriteType": "Both"}]},
        {"AdvancedEventSelectors": [{"FieldSelectors": CIS[1:]}]},
    ):
        with pytest.raises(client.exceptions.InvalidEventSelectorsException):
            client.put_event_selectors(TrailName="audit", **wrong)
    assert client.get_event_selectors(TrailName="audit")["AdvancedEventSelectors"] == advanced
    client.put_event_selectors(TrailName="audit", EventSelectors=[default])
    assert client.get_trail(Name="audit")["Trail"]["HasCustomEventSelectors"] is False


def test_insight_selectors_are_kept_and_told(alone: Served) -> None:
    client = alone.client()
    client.create_trail(Name="audit", S3BucketName=BUCKET)
    wanted = [{"InsightType": "ApiCallRateInsight"}]
    client.put_insight_selectors(TrailName="audit", InsightSelectors=wanted)
    assert client.get_insight_selectors(TrailName="audit")["InsightSelectors"] == wanted
    assert client.get_trail(Name="audit")["Trail"]["HasInsightSelectors"] is True
    with pytest.raises(client.exceptions.InvalidInsightSelectorsException):
        client.put_insight_selectors(TrailName="audit", InsightSelectors=wanted * 2)
    client.put_insight_selectors(TrailName="audit", InsightSelectors=[])
    with pytest.raises(client.exceptions.InsightNotEnabledException):
        client.get_insight_selectors(TrailName="audit")
    assert client.get_trail(Name="audit")["Trail"]["HasInsightSelectors"] is False


def test_tags_are_added_overwritten_and_removed(alone: Served) -> None:
    client = alone.client()
    arn = client.create_trail(Name="audit", S3BucketName=BUCKET)["TrailARN"]
    client.add_tags(ResourceId=arn, TagsList=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    client.add_tags(ResourceId=arn, TagsList=[{"Key": "a", "Value": "2"}])

    def tags(resource: str) -> dict[str, str]:
        (found,) = client.list_tags(ResourceIdList=[resource])["ResourceTagList"]
        return {tag["Key"]: tag["Value"] for tag in found["TagsList"]}

    assert tags(arn) == {"a": "2", "b": ""}
    client.remove_tags(ResourceId=arn, TagsList=[{"Key": "b"}])
    assert tags(arn) == {"a": "2"}
    with pytest.raises(client.exceptions.TagsLimitExceededException):
        client.add_tags(ResourceId=arn, TagsList=[{"Key": f"k{i}"} for i in range(50)])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.add_tags(ResourceId=arn + "x", TagsList=[{"Key": "a"}])
    channel = client.create_channel(
        Name="billing", Source="Custom",
        Destinations=[{"Type": "EVENT_DATA_STORE", "Location": "opentrail"}],
    )["ChannelArn"]  # fmt: skip
    client.add_tags(ResourceId=channel, TagsList=[{"Key": "c", "Value": "3"}])
    assert tags(channel) == {"c": "3"}


def test_an_organization_trail_is_seen_by_members_and_changed_by_the_management_account(
    tmp_path: Path,
) -> None:
    with serving(
        tmp_path, cloudtrail__organization_id="o-exampleorgid",
        cloudtrail__organization_accounts=f"['{OTHER}']",
    ) as organized:  # fmt: skip
        client = organized.client()
        arn = client.create_trail(
            Name="org", S3BucketName=BUCKET, IsOrganizationTrail=True, IsMultiRegionTrail=True
        )["TrailARN"]
        member = organized.client(accounts=(OTHER,))
        (seen,) = member.describe_trails()["trailList"]
        assert (seen["TrailARN"], seen["IsOrganizationTrail"]) == (arn, True)
        with pytest.raises(member.exceptions.NotOrganizationMasterAccountException):
            member.stop_logging(Name=arn)
        with pytest.raises(member.exceptions.NotOrganizationMasterAccountException):
            member.create_trail(Name="mine", S3BucketName=BUCKET, IsOrganizationTrail=True)
        assert organized.log.controls[-1]["trail"]["members"] == (OTHER,)
