"""How events are mapped in OpenSearch: index template, alias, one plain index per event day.

The template has OpenTrail's version in `_meta`. A newer one replaces an older one; the same or a
newer one of somebody else is left alone, and what an operator changed under our version is told and
kept. A day's index is made with that day as its creation date, so that an index policy which counts
by age counts by the event's day.
"""

from typing import Any

from opentrail_aggregator.index.retention import day_seconds
from opentrail_aggregator.search.fields import UNIQUE

VERSION = 2
"""Raised with every change of what `template` returns."""
TEMPLATE = "opentrail-events"
ALIAS = "opentrail-events"
_PREFIX = f"{ALIAS}-"
_SHORT = 8191  # Four bytes for each character stay below 32,766.


def index_of(day: str) -> str:
    """The index of an event day: `2026-11-24` -> `opentrail-events-2026.11.24`."""
    return _PREFIX + day.replace("-", ".")


def day_of_index(name: str) -> str:
    """The event day of an index, empty if the name is none of ours."""
    day = name.removeprefix(_PREFIX).replace(".", "-")
    parts = day.split("-")
    is_day = [len(each) for each in parts] == [4, 2, 2] and all(p.isdigit() for p in parts)
    return day if is_day and index_of(day) == name else ""


def day_settings(day: str) -> dict[str, Any]:
    """What a day's index is made with, beside its template."""
    return {"settings": {"index.creation_date": str(max(1, day_seconds(day)[0] * 1000))}}


def template(shards: int, replicas: int, refresh: str) -> dict[str, Any]:
    """The index template."""
    return {
        "index_patterns": [f"{_PREFIX}*"],
        "priority": 200,
        "version": VERSION,
        "_meta": {"opentrail": VERSION},
        "template": {
            "aliases": {ALIAS: {}},
            "settings": {
                "index.number_of_shards": shards,
                "index.number_of_replicas": replicas,
                "index.refresh_interval": refresh,
                "index.codec": "best_compression",
            },
            "mappings": mappings(),
        },
    }


def mappings() -> dict[str, Any]:
    """CloudTrail's own names, and OpenTrail's under `opentrail.`; nothing is mapped by itself."""
    word: dict[str, Any] = {"type": "keyword", "ignore_above": _SHORT}
    # Different in each event: asked for, never charted, and a column of them is large.
    unique: dict[str, Any] = {**word, "doc_values": False}
    date: dict[str, Any] = {"type": "date", "ignore_malformed": True}
    number: dict[str, Any] = {"type": "double"}
    free: dict[str, Any] = {"type": "flat_object"}
    properties: dict[str, Any] = {
        "@timestamp": {"type": "date"},
        "eventTime": date,
        "userIdentity": _object(
            type=word, principalId=word, arn=word, accountId=word, accessKeyId=word,
            userName=word, invokedBy=word, identityProvider=word, credentialId=word,
            sessionContext=_object(
                sessionIssuer=_object(
                    type=word, principalId=word, arn=word, accountId=word, userName=word
                ),
                attributes=_object(creationDate=date, mfaAuthenticated=word),
                webIdFederationData=_object(federatedProvider=word),
                sourceIdentity=word, ec2RoleDelivery=word,
            ),
            onBehalfOf=_object(userId=word, identityStoreArn=word),
        ),
        "resources": _object(ARN=word, ARNPrefix=word, accountId=word, type=word),
        "tlsDetails": _object(tlsVersion=word, cipherSuite=word, clientProvidedHostHeader=word),
        "opentrail": _object(
            head={"type": "keyword", "index": False, "doc_values": False},
            form=word, shape=word, id={**word, "index": False}, account=word, region=word, log=word,
            time={"type": "long"}, position={"type": "long"}, username=word,
            resources=word, resource_types=word, created={"type": "long"},
            address={"type": "ip"}, bytes_in=number, bytes_out=number, duration=number,
            leaf={"type": "keyword"},
            text={"type": "text", "analyzer": "whitespace", "norms": False},
            raw={"type": "keyword", "index": False, "doc_values": False},
        ),
    }  # fmt: skip
    for name in (
        "eventVersion", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent",
        "errorCode", "errorMessage", "requestID", "eventID", "eventType", "apiVersion",
        "managementEvent", "readOnly", "recipientAccountId", "sharedEventID", "vpcEndpointId",
        "vpcEndpointAccountId", "eventCategory", "sessionCredentialFromConsole", "accountId",
        "eventId",
    ):  # fmt: skip
        properties[name] = unique if name in UNIQUE else word
    for name in (
        "requestParameters", "responseElements", "additionalEventData", "serviceEventDetails",
        "addendum", "eventContext", "edgeDeviceDetails", "insightDetails", "timeWindow", "summary",
    ):  # fmt: skip
        properties[name] = free
    return {
        "dynamic": False,
        "date_detection": False,
        "_meta": {"opentrail": VERSION},
        "properties": properties,
    }


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "dynamic": False, "properties": properties}


def _words_in(properties: dict[str, Any], above: str = "") -> list[str]:
    found: list[str] = []
    for name, each in properties.items():
        if "properties" in each:
            found += _words_in(each["properties"], f"{above}{name}.")
        elif each["type"] == "keyword":
            found.append(above + name)
    return found


MAPPED = frozenset(
    name for name in _words_in(mappings()["properties"]) if not name.startswith("opentrail.")
)
"""Paths of a record whose values are keywords of their own: exact, upper and lower case kept."""
