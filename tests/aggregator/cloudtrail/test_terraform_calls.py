"""What Terraform's AWS provider asks for one `aws_cloudtrail`, replayed with boto3.

The order of calls and their arguments are those of the provider (5.100): create and read, read for
a plan, update of each argument, import by ARN and by name, destroy. A plan is clean if the read
answers what the create was given.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aggregator.cloudtrail.serving import Served, serving

BUCKET = "opentrail"
WRITES = [
    {
        "Name": "writes",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Management"]},
            {"Field": "readOnly", "Equals": ["false"]},
        ],
    }
]
RATE = [{"InsightType": "ApiCallRateInsight"}]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, cloudtrail__calls_per_second="1000000") as made:
        yield made


def read(client: Any, id_: str) -> dict[str, Any]:
    """The provider's read: what ends in the state."""
    (trail,) = client.describe_trails(trailNameList=[id_])["trailList"]
    arn = trail["TrailARN"]
    state = {
        "name": trail["Name"],
        "arn": arn,
        "home_region": trail["HomeRegion"],
        "s3_bucket_name": trail["S3BucketName"],
        "s3_key_prefix": trail.get("S3KeyPrefix", ""),
        "include_global_service_events": trail["IncludeGlobalServiceEvents"],
        "is_multi_region_trail": trail["IsMultiRegionTrail"],
        "is_organization_trail": trail["IsOrganizationTrail"],
        "enable_log_file_validation": trail["LogFileValidationEnabled"],
        "enable_logging": client.get_trail_status(Name=id_)["IsLogging"],
        "selectors": [],
        "insights": [],
    }
    if trail["HasCustomEventSelectors"]:
        found = client.get_event_selectors(TrailName=id_)
        state["selectors"] = found.get("AdvancedEventSelectors") or found["EventSelectors"]
    if trail["HasInsightSelectors"]:
        state["insights"] = client.get_insight_selectors(TrailName=id_)["InsightSelectors"]
    (tags,) = client.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    state["tags"] = {tag["Key"]: tag["Value"] for tag in tags["TagsList"]}
    return state


def create(client: Any) -> tuple[str, dict[str, Any]]:
    made = client.create_trail(
        Name="audit", S3BucketName=BUCKET, S3KeyPrefix="team", IncludeGlobalServiceEvents=True,
        IsMultiRegionTrail=True, IsOrganizationTrail=False, EnableLogFileValidation=True,
        TagsList=[{"Key": "team", "Value": "a"}],
    )  # fmt: skip
    arn = made["TrailARN"]
    client.start_logging(Name=arn)
    client.put_event_selectors(TrailName=arn, AdvancedEventSelectors=WRITES)
    client.put_insight_selectors(TrailName=arn, InsightSelectors=RATE)
    planned = {
        "name": "audit", "arn": arn, "home_region": "us-east-1", "s3_bucket_name": BUCKET,
        "s3_key_prefix": "team", "include_global_service_events": True,
        "is_multi_region_trail": True, "is_organization_trail": False,
        "enable_log_file_validation": True, "enable_logging": True, "selectors": WRITES,
        "insights": RATE, "tags": {"team": "a"},
    }  # fmt: skip
    return arn, planned


def test_a_plan_after_apply_is_clean_and_an_import_by_arn_and_by_name_too(alone: Served) -> None:
    client = alone.client()
    arn, planned = create(client)
    assert read(client, arn) == planned
    assert read(client, "audit") == planned


def test_each_argument_is_updated_alone(alone: Served) -> None:
    client = alone.client()
    arn, planned = create(client)
    updates: list[tuple[str, Any, Any]] = [
        ("s3_key_prefix", "other", lambda v: client.update_trail(Name=arn, S3KeyPrefix=v)),
        (
            "enable_log_file_validation", False,
            lambda v: client.update_trail(Name=arn, EnableLogFileValidation=v),
        ),
        ("enable_logging", False, lambda _: client.stop_logging(Name=arn)),
        ("enable_logging", True, lambda _: client.start_logging(Name=arn)),
        ("insights", [], lambda v: client.put_insight_selectors(TrailName=arn, InsightSelectors=v)),
        (
            "tags", {"team": "a", "cost": "7"},
            lambda _: client.add_tags(
                ResourceId=arn, TagsList=[{"Key": "cost", "Value": "7"}]
            ),
        ),
        (
            "tags", {"cost": "7"},
            lambda _: client.remove_tags(ResourceId=arn, TagsList=[{"Key": "team"}]),
        ),
        (
            "selectors", [],
            # The provider puts the default back when the block is removed.
            lambda _: client.put_event_selectors(
                TrailName=arn,
                EventSelectors=[
                    {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}
                ],
            ),
        ),
    ]  # fmt: skip
    for argument, value, update in updates:
        update(value)
        planned[argument] = value
        assert read(client, arn) == planned, argument
    client.update_trail(Name=arn, IsMultiRegionTrail=False, IncludeGlobalServiceEvents=False)
    planned |= {"is_multi_region_trail": False, "include_global_service_events": False}
    assert read(client, arn) == planned


def test_a_destroy_is_final_and_a_second_one_says_not_found(alone: Served) -> None:
    client = alone.client()
    arn, _ = create(client)
    client.delete_trail(Name=arn)
    assert client.describe_trails(trailNameList=[arn])["trailList"] == []
    with pytest.raises(client.exceptions.TrailNotFoundException):
        client.delete_trail(Name=arn)
