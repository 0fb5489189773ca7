"""Trails against the real `opentrail up`, killed while they change: nothing lost, sums close."""

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
from botocore.exceptions import ClientError

from .oracle import equations
from .processes import Installation, wait_for

pytestmark = pytest.mark.slow
ACCOUNT = "000000000000"


def client(installation: Installation, service: str = "cloudtrail") -> Any:
    key = json.loads((installation.home / "keys" / "local.json").read_text())
    return boto3.session.Session().client(
        service,
        region_name="us-east-1",
        endpoint_url=installation.url,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        config=botocore.config.Config(retries={"total_max_attempts": 8}),
    )


def status_of(installation: Installation, wanted: Any, seconds: float = 60) -> dict[str, Any]:
    """The status once `wanted` holds of it and nothing is on its way."""

    def asked() -> dict[str, Any] | None:
        found = installation.status(check=False)
        return found if found["sums_agree"] and wanted(found) else None

    found: dict[str, Any] = wait_for("the status is as wanted", asked, seconds)
    return found


@pytest.mark.long
def test_trails_change_while_everything_is_killed_and_the_sums_close(
    installation: Installation,
) -> None:
    installation.start()
    trails = client(installation)
    arns = {"default": f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/default"}
    victims = ["ingest", "archive", "api", "ingest", "archive", "api"]
    wanted: dict[str, bool] = {}
    for number, victim in enumerate(victims):
        name = f"trail-{number % 3}"
        installation.find(victim).kill()
        # Whatever the answer was, the change came about once or not at all: ask and go on.
        for _ in range(20):
            try:
                if name not in arns:
                    arns[name] = trails.create_trail(
                        Name=name, S3BucketName="opentrail", S3KeyPrefix=name,
                        EnableLogFileValidation=True, IsMultiRegionTrail=True,
                    )["TrailARN"]  # fmt: skip
                trails.start_logging(Name=name)
                if number >= 3:
                    trails.stop_logging(Name=name)
                wanted[name] = number < 3
                break
            except trails.exceptions.TrailAlreadyExistsException:
                arns[name] = arns["default"].replace("default", name)
            except (ClientError, botocore.exceptions.BotoCoreError):
                time.sleep(0.5)
    installation.destroy()
    installation.start()
    described = {each["Name"]: each["TrailARN"] for each in trails.describe_trails()["trailList"]}
    assert described == arns
    logging = {name: trails.get_trail_status(Name=name)["IsLogging"] for name in wanted}
    assert logging == wanted

    found = status_of(installation, lambda each: set(each["trails"]) == set(arns.values()))
    assert equations(found) == []
    for arn, own in found["trails"].items():
        assert own["archived"] + own["unselected"] + own["pending"] == own["kept"], arn
    # What came after its stop is no trail's but the default one's.
    assert found["trails"][arns["trail-0"]]["unselected"] > 0
    assert found["trails"][arns["default"]]["unselected"] == 0


@pytest.mark.skipif(importlib.util.find_spec("awscli") is None, reason="awscli is not installed")
@pytest.mark.long
def test_the_aws_cli_makes_a_trail_stops_it_and_validates_its_logs(
    installation: Installation,
) -> None:
    installation.start()
    exports = installation.run("env").stdout.decode()

    def aws(*arguments: str) -> str:
        command = shlex.join([sys.executable, "-W", "ignore", "-m", "awscli", *arguments])
        done = subprocess.run(
            ["bash", "-c", f"{exports}\n{command}"],
            env={"PATH": os.environ["PATH"], "HOME": str(installation.home)},
            capture_output=True, timeout=90, check=False, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
        return done.stdout

    made = json.loads(
        aws(
            "cloudtrail", "create-trail", "--name", "writes", "--s3-bucket-name", "opentrail",
            "--s3-key-prefix", "team", "--is-multi-region-trail", "--enable-log-file-validation",
        )
    )  # fmt: skip
    fields = [
        {"Field": "eventCategory", "Equals": ["Management"]},
        {"Field": "readOnly", "Equals": ["false"]},
    ]
    aws(
        "cloudtrail", "put-event-selectors", "--trail-name", "writes",
        "--advanced-event-selectors", json.dumps([{"Name": "writes", "FieldSelectors": fields}]),
    )  # fmt: skip
    aws("cloudtrail", "start-logging", "--name", "writes")
    aws("cloudtrail", "list-trails")  # A read: not for this trail.
    arn = made["TrailARN"]
    aws("cloudtrail", "add-tags", "--resource-id", arn, "--tags-list", "Key=team,Value=a")
    aws("cloudtrail", "stop-logging", "--name", "writes")
    bucket = installation.home / "archive" / "opentrail" / "team"

    def is_final() -> bool:
        return bool(list(bucket.rglob("*CloudTrail-Digest*writes*.json.gz")))

    wait_for("the final digest is written", is_final, 60)
    validated = aws(
        "cloudtrail", "validate-logs", "--trail-arn", arn, "--account-id", ACCOUNT,
        "--region", "us-east-1", "--start-time",
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7200)), "--verbose",
    )  # fmt: skip
    counts = re.findall(r"([0-9]+)/([0-9]+) (digest|log) files? valid", validated)
    assert {kind for _, _, kind in counts} == {"digest", "log"}, validated
    assert all(valid == all_ != "0" for valid, all_, _ in counts), validated
    listed = aws("s3", "ls", "--recursive", "s3://opentrail/team/")
    assert "/CloudTrail/" in listed
