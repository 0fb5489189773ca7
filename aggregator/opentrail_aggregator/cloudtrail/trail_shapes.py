"""Trails in the shapes of CloudTrail's API."""

from typing import Any

from opentrail_aggregator.trails.selectors import advanced_as_api, basic_as_api
from opentrail_aggregator.trails.trail import TrailSpec

EVERYTHING: list[dict[str, Any]] = [
    {
        "Name": f"every {category} event",
        "FieldSelectors": [{"Field": "eventCategory", "Equals": [category]}],
    }
    for category in ("Management", "Data", "NetworkActivity")
]
"""How `default` is told, which takes what no selectors of AWS can say; put back, it is that."""


def settings_of(trail: TrailSpec, bucket: str) -> dict[str, Any]:
    """What CreateTrail and UpdateTrail answer."""
    return {
        "Name": trail.name,
        "S3BucketName": trail.bucket or bucket,
        **({"S3KeyPrefix": trail.prefix} if trail.prefix else {}),
        "IncludeGlobalServiceEvents": trail.global_events,
        "IsMultiRegionTrail": trail.multi_region,
        "TrailARN": trail.arn,
        "LogFileValidationEnabled": trail.validation,
        **({"KmsKeyId": trail.kms_key_id} if trail.kms_key_id else {}),
        "IsOrganizationTrail": bool(trail.organization),
        "RecursiveLogging": trail.recursive,
    }


def described(trail: TrailSpec, bucket: str) -> dict[str, Any]:
    """What DescribeTrails and GetTrail answer."""
    return {
        **settings_of(trail, bucket),
        "HomeRegion": trail.home_region,
        "HasCustomEventSelectors": trail.everything or not trail.selectors().is_default,
        "HasInsightSelectors": bool(trail.insights),
    }


def selectors_of(trail: TrailSpec) -> dict[str, Any]:
    """What GetEventSelectors and PutEventSelectors answer."""
    if trail.everything:
        return {"TrailARN": trail.arn, "AdvancedEventSelectors": EVERYTHING}
    selectors = trail.selectors()
    if selectors.advanced:
        told = [advanced_as_api(each) for each in selectors.advanced]
        return {"TrailARN": trail.arn, "AdvancedEventSelectors": told}
    return {
        "TrailARN": trail.arn,
        "EventSelectors": [basic_as_api(each) for each in selectors.basic],
    }
