"""A stock AWS client against the real `opentrail up`: what it puts and asks, also across a kill."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
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


def payment() -> dict[str, Any]:
    """What an application has to say."""
    return {
        "version": "1",
        "userIdentity": {"type": "User", "principalId": "alice"},
        "eventSource": "billing.example.com",
        "eventName": "PayInvoice",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "UID": "1",
        "recipientAccountId": ACCOUNT,
    }


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
    event = payment()
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


@pytest.mark.skipif(importlib.util.find_spec("awscli") is None, reason="awscli is not installed")
def test_the_aws_cli_works_with_the_environment_alone(installation: Installation) -> None:
    installation.start()
    exports = installation.run("env").stdout.decode()

    def aws(*arguments: str) -> str:
        command = shlex.join([sys.executable, "-W", "ignore", "-m", "awscli", *arguments])
        done = subprocess.run(
            ["bash", "-c", f"{exports}\n{command}"],
            env={"PATH": os.environ["PATH"], "HOME": str(installation.home)},
            capture_output=True, timeout=60, check=False, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
        return done.stdout

    trail = json.loads(aws("cloudtrail", "describe-trails"))["trailList"][0]["TrailARN"]
    arn = json.loads(
        aws("cloudtrail", "create-channel", "--name", "billing", "--source", "Custom",
            "--destinations", "Type=EVENT_DATA_STORE,Location=opentrail")
    )["ChannelArn"]  # fmt: skip
    put = json.dumps([{"id": "invoice-17", "eventData": json.dumps(payment())}])
    answer = json.loads(
        aws("cloudtrail-data", "put-audit-events", "--channel-arn", arn, "--audit-events", put)
    )
    event_id = answer["successful"][0]["eventID"]
    wait_for(
        "`opentrail lookup` finds it",
        lambda: found(installation, f"eventName:PayInvoice eventID:{event_id}"),
        20,
    )

    installation.run("digest", "now")
    validated = aws(
        "cloudtrail", "validate-logs", "--trail-arn", trail, "--account-id", ACCOUNT,
        "--region", "us-east-1", "--start-time",
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7200)), "--verbose",
    )  # fmt: skip
    counts = re.findall(r"([0-9]+)/([0-9]+) (digest|log) files? valid", validated)
    assert {kind for _, _, kind in counts} == {"digest", "log"}, validated
    assert all(valid == all_ != "0" for valid, all_, _ in counts), validated
    assert ".json.gz" in aws("s3", "ls", "--recursive", "s3://opentrail/")

    asked = ("--lookup-attributes", "AttributeKey=EventName,AttributeValue=CreateChannel")
    looked = json.loads(aws("cloudtrail", "lookup-events", *asked))
    assert [each["EventName"] for each in looked["Events"]] == ["CreateChannel"]
    status = json.loads(aws("cloudtrail", "get-trail-status", "--name", "default"))
    assert status["LatestDeliveryTime"]
    assert status["LatestDigestDeliveryTime"]
