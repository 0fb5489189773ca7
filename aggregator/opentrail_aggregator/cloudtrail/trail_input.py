"""What CreateTrail and UpdateTrail are given, turned into a trail or refused as AWS refuses it."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from opentrail_aggregator.archive.keys import check_bucket, check_prefix
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.trails.trail import TrailSpec, partition_of_region

_KMS = re.compile(
    r"(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(?:key|alias)/[A-Za-z0-9/_-]{1,256}"
    r"|alias/[A-Za-z0-9/_-]{1,250}|[A-Za-z0-9-]{1,128})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Place:
    """What this installation has to offer a trail."""

    account: str
    bucket: str
    has_kms: bool
    """Objects go to a server that can encrypt with a key of KMS."""
    organization: str
    members: tuple[str, ...]


def with_settings(trail: TrailSpec, given: dict[str, Any], place: Place) -> TrailSpec:
    """The trail with what is given; absent is unchanged. Raises ApiError."""
    _refuse_what_is_not_here(given)
    changes: dict[str, Any] = {}
    if given.get("S3BucketName") is not None:
        changes["bucket"] = _bucket(given["S3BucketName"], place)
    if given.get("S3KeyPrefix") is not None:
        changes["prefix"] = _prefix(given["S3KeyPrefix"])
    if given.get("EnableLogFileValidation") is not None:
        changes["validation"] = given["EnableLogFileValidation"]
    if given.get("RecursiveLogging") is not None:
        changes["recursive"] = given["RecursiveLogging"]
    if given.get("KmsKeyId") is not None:
        changes["kms_key_id"] = _kms_key(given["KmsKeyId"], trail, place)
    if given.get("IsOrganizationTrail") is not None:
        changes |= _organization(given["IsOrganizationTrail"], trail, place)
    changes |= _regions(trail, given)
    return msgspec.structs.replace(trail, **changes)


def _regions(trail: TrailSpec, given: dict[str, Any]) -> dict[str, Any]:
    multi, with_global = given.get("IsMultiRegionTrail"), given.get("IncludeGlobalServiceEvents")
    is_multi = trail.multi_region if multi is None else bool(multi)
    if is_multi and with_global is False:
        raise ApiError(
            "InvalidParameterCombinationException",
            "Multi-Region trail must include global service events.",
        )
    changes: dict[str, Any] = {}
    if multi is not None and bool(multi) != trail.multi_region:
        # Turning it on takes global services in, turning it off leaves them out.
        changes = {"multi_region": bool(multi), "global_events": bool(multi)}
    if with_global is not None:
        changes["global_events"] = bool(with_global)
    return changes


def _bucket(name: str, place: Place) -> str:
    try:
        check_bucket(name)
    except ValueError as error:
        raise ApiError("InvalidS3BucketNameException", f"{str(error)[:300]}.") from error
    if name != place.bucket:
        raise ApiError("S3BucketDoesNotExistException", f"S3 bucket {name} does not exist!")
    return name


def _prefix(prefix: str) -> str:
    try:
        check_prefix(prefix)
    except ValueError as error:
        raise ApiError("InvalidS3PrefixException", f"{str(error)[:300]}.") from error
    return prefix


def _kms_key(key: str, trail: TrailSpec, place: Place) -> str:
    if not key:
        return ""
    if _KMS.fullmatch(key) is None:
        raise ApiError("InvalidKmsKeyIdException", f"{key[:300]} is no key of KMS.")
    if not place.has_kms:
        raise ApiError(
            "KmsKeyNotFoundException",
            "The archive is a local directory: there is no KMS. Encrypt its disk, or archive to "
            "S3.",
        )
    if key.startswith("arn:"):
        return key
    base = f"arn:{partition_of_region(trail.home_region)}:kms:{trail.home_region}:{trail.account}"
    return f"{base}:{key if key.startswith('alias/') else f'key/{key}'}"


def _organization(wanted: bool, trail: TrailSpec, place: Place) -> dict[str, Any]:
    if not wanted:
        return {"organization": "", "members": ()}
    if not place.organization:
        raise ApiError(
            "OrganizationsNotInUseException",
            "There is no organization here: set cloudtrail.organization_id and "
            "cloudtrail.organization_accounts.",
        )
    if trail.account != place.account:
        raise ApiError(
            "NotOrganizationMasterAccountException",
            f"Only {place.account} makes trails of the organization.",
        )
    return {"organization": place.organization, "members": place.members}


def _refuse_what_is_not_here(given: dict[str, Any]) -> None:
    if given.get("SnsTopicName"):
        raise ApiError("UnsupportedOperationException", "There are no notifications through SNS.")
    if given.get("CloudWatchLogsLogGroupArn") or given.get("CloudWatchLogsRoleArn"):
        raise ApiError(
            "CloudWatchLogsDeliveryUnavailableException", "There is no CloudWatch Logs here."
        )
