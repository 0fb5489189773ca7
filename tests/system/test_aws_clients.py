"""A stock AWS client against the real `opentrail up`: what it puts and asks, also across a kill."""

import json
import time
from typing import Any

import boto3
import botocore.config
import pytest

from .processes import Installation, wait_for

pytestmark = pytest.mark.slow
ACCOUNT = "000000000000"


def client(installation: Installation, service: str) -> Any:
    key = json.loads((installation.home / "keys" / "local.json").read_text())
    return boto3.session.Session().client(
        service,
        region_name="us-east-1",
        endpoint_url=installation.url,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        config=botocore.config.Config(retries={"total_max_attempts": 8}),
    )


def found(installation: Installation, query: str) -> list[Any]:
    lines = installation.run("lookup", query, "--output", "jsonl").stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_a_stock_client_puts_and_finds_events_also_after_a_kill(installation: Installation) -> None:
    installation.start()
    trail = client(installation, "cloudtrail")
    assert client(installation, "sts").get_caller_identity()["Account"] == ACCOUNT
    assert trail.describe_trails()["trailList"][0]["S3BucketName"] == "opentrail"
    arn = trail.create_channel(
        Name="billing",
        Source="Custom",
        Destinations=[{"Type": "EVENT_DATA_STORE", "Location": "opentrail"}],
    )["ChannelArn"]
    event = {
        "version": "1",
        "userIdentity": {"type": "User", "principalId": "alice"},
        "eventSource": "billing.example.com",
        "eventName": "PayInvoice",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "UID": "1",
        "recipientAccountId": ACCOUNT,
    }
    put = {
        "channelArn": arn,
        "auditEvents": [{"id": "invoice-1", "eventData": json.dumps(event)}],
    }
    first = client(installation, "cloudtrail-data").put_audit_events(**put)
    assert not first["failed"]

    installation.find("ingest").kill()
    again = client(installation, "cloudtrail-data").put_audit_events(**put)
    assert again["successful"] == first["successful"]
    installation.destroy()
    installation.start()
    assert trail.get_channel(Channel=arn)["Name"] == "billing"
    third = client(installation, "cloudtrail-data").put_audit_events(**put)
    assert third["successful"] == first["successful"]

    def is_searchable() -> list[Any]:
        asked = {"AttributeKey": "EventName", "AttributeValue": "CreateChannel"}
        calls: list[Any] = trail.lookup_events(LookupAttributes=[asked])["Events"]
        puts = found(installation, "eventName:PutAuditEvents")
        return calls if len(puts) >= 3 else []

    assert len(wait_for("the calls are in the history", is_searchable, 20)) == 1
    (kept,) = found(installation, "eventName:PayInvoice")
    assert kept["eventID"] == first["successful"][0]["eventID"]
    status = trail.get_trail_status(Name="default")
    assert status["IsLogging"] is True
    assert status["StartLoggingTime"].timestamp() <= time.time()
