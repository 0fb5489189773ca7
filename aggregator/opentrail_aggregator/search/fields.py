"""The fields a query may name, and what each can do.

CloudTrail's own names, exact and case-sensitive; below the members that hold objects every path
(`requestParameters.bucketName`, arrays are passed through); CloudTrail's eight lookup attributes by
their API names; and OpenTrail's own under `opentrail.`. Values are compared as the text the record
has: `readOnly:true` finds true and "true", `requestParameters.count:5` finds 5 and "5".

`stored` is where an engine keeps the values: two names may share one (`EventName`, `eventName`).
"""

import difflib
import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What can be asked of a field beyond its exact text."""

    KEYWORD = "text"
    DATE = "date"
    ADDRESS = "IP address"
    NUMBER = "number"
    TREE = "object"


@dataclass(frozen=True, slots=True)
class Field:
    """A name as it was written, and where its values are kept."""

    name: str
    stored: str
    kind: Kind = Kind.KEYWORD


TREES = (
    "userIdentity", "requestParameters", "responseElements", "additionalEventData",
    "serviceEventDetails", "resources", "tlsDetails", "addendum", "eventContext",
    "edgeDeviceDetails", "insightDetails", "timeWindow", "summary",
)  # fmt: skip
"""Top-level members that hold objects: every path below them is a field."""

KEYWORDS = (
    "eventVersion", "eventSource", "eventName", "awsRegion", "userAgent", "errorCode",
    "errorMessage", "requestID", "eventID", "eventType", "apiVersion", "managementEvent",
    "readOnly", "recipientAccountId", "sharedEventID", "vpcEndpointId", "vpcEndpointAccountId",
    "eventCategory", "sessionCredentialFromConsole", "accountId", "eventId",
)  # fmt: skip
"""Top-level members that hold one value."""

EVENT_TIME = Field("eventTime", "eventTime", Kind.DATE)
SOURCE_ADDRESS = Field("sourceIPAddress", "sourceIPAddress", Kind.ADDRESS)
CREATION_DATE = "userIdentity.sessionContext.attributes.creationDate"
NUMBERS = (
    "additionalEventData.bytesTransferredIn",
    "additionalEventData.bytesTransferredOut",
    "requestParameters.durationSeconds",
)
"""The paths whose numbers can be compared; all other values are compared as text."""

USERNAME, RESOURCE_NAME, RESOURCE_TYPE = "Username", "ResourceName", "ResourceType"
ACCOUNT, REGION, SHAPE = "opentrail.account", "opentrail.region", "opentrail.shape"
OWN = (ACCOUNT, REGION, SHAPE)
LOOKUP_ATTRIBUTES = {
    "EventId": "eventID",
    "EventName": "eventName",
    "ReadOnly": "readOnly",
    "Username": USERNAME,
    "ResourceType": RESOURCE_TYPE,
    "ResourceName": RESOURCE_NAME,
    "EventSource": "eventSource",
    "AccessKeyId": "userIdentity.accessKeyId",
}
"""CloudTrail's eight lookup attributes and the fields that hold their values."""

UNIQUE = frozenset({"eventID", "requestID", "sharedEventID", "eventId"})
"""Different for nearly every event: no leading wildcard and no count by value, in any engine."""

NOT_IN_TEXT = frozenset(
    {
        "eventID", "requestID", "sharedEventID", "eventId", "eventTime", "eventVersion",
        "eventCategory", "eventType", "recipientAccountId", "tlsDetails",
    }
)  # fmt: skip
"""Members that bare words do not search: every event has them, and they have names to ask by."""

_FIXED: dict[str, Field] = {
    EVENT_TIME.name: EVENT_TIME,
    SOURCE_ADDRESS.name: SOURCE_ADDRESS,
    CREATION_DATE: Field(CREATION_DATE, CREATION_DATE, Kind.DATE),
    **{name: Field(name, name, Kind.NUMBER) for name in NUMBERS},
    **{name: Field(name, name, Kind.TREE) for name in TREES},
    **{name: Field(name, name) for name in (*KEYWORDS, *OWN)},
    **{name: Field(name, stored) for name, stored in LOOKUP_ATTRIBUTES.items()},
}
_OTHER_WORDS = {
    "username": "userIdentity.userName",
    "user": "userIdentity.userName",
    "arn": "userIdentity.arn",
    "accesskeyid": "userIdentity.accessKeyId",
    "principalid": "userIdentity.principalId",
    "invokedby": "userIdentity.invokedBy",
    "type": "userIdentity.type",
    "region": "awsRegion",
    "account": "recipientAccountId",
    "account_id": "recipientAccountId",
    "source": "eventSource",
    "service": "eventSource",
    "action": "eventName",
    "name": "eventName",
    "ip": "sourceIPAddress",
    "sourceip": "sourceIPAddress",
    "time": "eventTime",
    "timestamp": "eventTime",
    "@timestamp": "eventTime",
    "error": "errorCode",
    "bucketname": "requestParameters.bucketName",
    "bucket": "requestParameters.bucketName",
    "rolearn": "requestParameters.roleArn",
    "id": "eventID",
}
"""What people write who know the field by another name."""

NUL_STAND_IN = "\ufffd"
"""Written for a NUL in the name of a member, which separates names from values in an index."""

_SPECIAL = re.compile(r'[\s()"\\:\[\]{}*?~^<>]')


def find_field(name: str) -> Field | None:
    """The field of this name, or None if there is none."""
    if known := _FIXED.get(name):
        return known
    root, dot, _ = name.partition(".")
    if not dot or root not in TREES:
        return None
    return Field(name, name.replace("\0", NUL_STAND_IN))


def suggest(name: str) -> str:
    """What the writer of an unknown field name most likely meant; empty if nobody knows."""
    # CloudTrail's record names before its lookup attributes, which differ in case only.
    by_case = {known.lower(): known for known in reversed(_FIXED)}
    lower = name.lower()
    if known := _OTHER_WORDS.get(lower) or by_case.get(lower):
        return known
    root, dot, rest = name.partition(".")
    if dot and (tree := by_case.get(root.lower())) in TREES:
        return f"{tree}.{rest}"
    close = difflib.get_close_matches(lower, [*by_case, *_OTHER_WORDS], n=1, cutoff=0.75)
    return by_case.get(close[0]) or _OTHER_WORDS[close[0]] if close else ""


def escape_name(name: str) -> str:
    """`name` as a query must write it."""
    return _SPECIAL.sub(lambda match: "\\" + match.group(), name)


def range_fields() -> str:
    """The fields that can be compared, for error messages."""
    dates = f"dates ({EVENT_TIME.name}, {CREATION_DATE})"
    return f"{dates}, addresses ({SOURCE_ADDRESS.name}) and numbers ({', '.join(NUMBERS)})"
