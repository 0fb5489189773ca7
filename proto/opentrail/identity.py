"""What makes two records the same event, and where an event belongs.

An event is once per (account, eventID) within the UTC hour of its eventTime: a copy carries the
same eventTime, so its twin can only be in that hour's id set, however long ago it was.
"""

import hashlib
import uuid

from opentrail.record import RecordView

KEY_BYTES = 16
DERIVED_NAMESPACE = uuid.UUID("6f70656e-7472-5169-8c00-6465726976ed")
"""Namespace of the UUIDv5 that stand in for a missing eventID."""

ALWAYS_GLOBAL = frozenset(
    f"{service}.amazonaws.com"
    for service in ("iam", "organizations", "cloudfront", "route53", "health")
)
SOMETIMES_GLOBAL = frozenset(("sts.amazonaws.com", "signin.amazonaws.com"))

_GLOBAL_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


def hour_of(time_s: int) -> int:
    """The UTC hour of a time, counted from 1970; negative before."""
    return time_s // 3600


def event_key(account: str, event_id: str, hour: int) -> bytes:
    """16 bytes that are equal exactly for copies of one event."""
    text = f"{account}\0{event_id}\0{hour}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def refusal_key(
    agent: str, generation: str, offset: int, length: int, reason: str, sha256: str
) -> bytes:
    """16 bytes that are equal for what one agent refused twice, read at the same place.

    Not of the source's name, which changes when the file is renamed.
    """
    text = f"refused\0{agent}\0{generation}\0{offset}\0{length}\0{reason}\0{sha256}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def derived_event_id(generation: str, offset: int, line: bytes) -> str:
    """The eventID of a record without one: of its place in one generation of its source.

    `line` is as the source has it, before redaction, so the id does not change with the rules.
    """
    name = f"{generation}\0{offset}\0{hashlib.sha256(line).hexdigest()}"
    return str(uuid.uuid5(DERIVED_NAMESPACE, name))


def natural_event_id(source: str, key: str) -> str:
    """The eventID of a record whose source has a key of its own for it."""
    return str(uuid.uuid5(DERIVED_NAMESPACE, f"{source}\0{key}"))


def partition_of(view: RecordView, region: str) -> str:
    """The AWS partition: by userIdentity.arn, else by the region, else `aws`."""
    identity = view.userIdentity
    if isinstance(identity, dict):
        arn = identity.get("arn")
        if isinstance(arn, str) and arn.startswith("arn:"):
            partition = arn.split(":", 2)[1]
            if partition in _GLOBAL_REGIONS:
                return partition
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws"


def global_region(view: RecordView, region: str) -> str:
    """The region that global services of the record's partition belong to."""
    return _GLOBAL_REGIONS[partition_of(view, region)]


def canonical_region(
    view: RecordView, region: str, global_services: frozenset[str] = frozenset()
) -> str:
    """The region an event is kept under; `region` is what the record (or its source) says.

    `global_services` are further event sources (`name.amazonaws.com`) that count as global.
    """
    source = view.eventSource
    if not isinstance(source, str):
        return region
    if source in ALWAYS_GLOBAL or source in global_services:
        return global_region(view, region)
    if source in SOMETIMES_GLOBAL and _says_global(view):
        return global_region(view, region)
    return region  # Also for sts and signin in the global region: it is the same.


def is_global(view: RecordView, global_services: frozenset[str] = frozenset()) -> bool:
    """Whether the record is of a global service, as `canonical_region` sees it."""
    source = view.eventSource
    return isinstance(source, str) and (
        source in ALWAYS_GLOBAL
        or source in global_services
        or (source in SOMETIMES_GLOBAL and (_says_global(view) or _is_in_global_region(view)))
    )


def _is_in_global_region(view: RecordView) -> bool:
    region = view.awsRegion
    return isinstance(region, str) and region == global_region(view, region)


def _says_global(view: RecordView) -> bool:
    """sts and signin are global only where the record says so: global endpoint or root."""
    identity = view.userIdentity
    if isinstance(identity, dict) and identity.get("type") == "Root":
        return True
    data = view.additionalEventData
    if isinstance(data, dict):
        details = data.get("RequestDetails")
        if isinstance(details, dict) and details.get("endpointType") == "global":
            return True
        login_to = data.get("LoginTo")
        if isinstance(login_to, str) and login_to.startswith("https://console.aws.amazon.com/"):
            return True
    return False
