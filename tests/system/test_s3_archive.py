"""`opentrail up --archive s3://…` on a real S3 server, asked there with AWS's own tools."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.fakes.s3_faults import LOST, FaultyS3
from tests.real.versitygw import S3Server

from .processes import Installation, wait_for
from .producer import Producer

pytestmark = pytest.mark.slow
TRAIL = "arn:aws:cloudtrail:us-east-1:000000000000:trail/default"


def aws(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "awscli", *arguments],
        env={"PATH": os.environ["PATH"], **environment}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def objects(server: S3Server, bucket: str, folder: str = "/CloudTrail/") -> list[str]:
    found = server.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    return [each["Key"] for each in found if folder in each["Key"]]


def records_in(server: S3Server, bucket: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for key in objects(server, bucket):
        body = server.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        for record in json.loads(gzip.decompress(body))["Records"]:
            claim = (record.get("requestParameters") or {}).get("claim")
            if claim:
                found[claim] += 1
    return found


def test_what_goes_through_is_in_the_bucket_once_and_aws_tools_say_it_is_valid(
    installation: Installation, tmp_path: Path, s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    bucket = s3_server.make_bucket()
    producer = Producer(tmp_path / "source", 61)
    producer.write(600)
    with FaultyS3(s3_server.endpoint) as proxy:
        proxy.times(3, LOST)  # Stored, and nobody was told.
        environment = {**s3_server.environment(), "AWS_ENDPOINT_URL_S3": proxy.endpoint}
        where = f"s3://{bucket}/team/audit"
        installation.start(producer.pattern, archive=where, environment=environment)
        installation.wait_until_drained(producer.owed.lines)
        installation.run("digest", "now")
        assert installation.run("verify").stdout.startswith(b"whole: ")
        metrics = installation.get("/metrics")[1].decode()
        retries = re.findall(r'archive_retries_total\{.*reason="connection"\} ([0-9]+)', metrics)
        assert sum(map(int, retries)) >= 1, "no answer was lost: nothing was tried"
        key = json.loads((installation.home / "keys" / "local.json").read_text())
        s3_server.make_user(key["access_key_id"], key["secret_access_key"])
        allow(s3_server, bucket, key["access_key_id"])
        environment = s3_server.environment(key["access_key_id"], key["secret_access_key"])

        listed = aws(environment, "s3", "ls", "--recursive", f"s3://{bucket}/team/")
        assert listed.returncode == 0, listed.stderr
        stored = objects(s3_server, bucket)
        assert stored
        for each in stored:
            assert each.startswith("team/audit/AWSLogs/")
            assert each in listed.stdout
        assert records_in(s3_server, bucket) == Counter(dict.fromkeys(producer.owed.kept, 1))

        _, _, account, _, region, *_ = objects(s3_server, bucket)[0].split("/")[1:]
        said = aws(
            environment | {"AWS_ENDPOINT_URL_CLOUDTRAIL": installation.url},
            "cloudtrail", "validate-logs", "--trail-arn", TRAIL, "--s3-bucket", bucket,
            "--s3-prefix", "team/audit", "--start-time", "2020-01-01T00:00:00Z",
            "--region", region, "--account-id", account,
        )  # fmt: skip
        assert said.returncode == 0, said.stdout + said.stderr
        assert re.search(r"[1-9][0-9]*/[1-9][0-9]* log files valid", said.stdout), said.stdout


def allow(server: S3Server, bucket: str, user: str) -> None:
    """Let `user` read the bucket."""
    bucket_arn = f"arn:aws:s3:::{bucket}"
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": [user]}, "Action": actions, "Resource": resource}
        for actions, resource in (
            (["s3:ListBucket", "s3:GetBucketLocation"], bucket_arn),
            (["s3:GetObject"], f"{bucket_arn}/*"),
        )
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    server.client().put_bucket_policy(Bucket=bucket, Policy=policy)


@pytest.mark.long
def test_a_missing_bucket_is_said_in_health_and_everything_is_delivered_once_it_is_there(
    installation: Installation, tmp_path: Path, s3_server: S3Server
) -> None:
    bucket = f"later-{s3_server.make_bucket()[6:]}"
    producer = Producer(tmp_path / "source", 62)
    producer.write(200)
    (installation.home).mkdir(parents=True)
    (installation.home / "aggregator.yaml").write_text(
        f"archive:\n  destination: s3\n  bucket: {bucket}\n  s3:\n"
        f"    endpoint: {s3_server.endpoint}\n    region: us-east-1\n    path_style: true\n"
    )
    environment = s3_server.environment() | {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    installation.start(producer.pattern, environment=environment)

    def is_named() -> bool:
        return b"make the bucket" in installation.get("/health/delivery")[1]

    wait_for("health names the missing bucket", is_named, 60)
    s3_server.client().create_bucket(Bucket=bucket)
    installation.wait_until_drained(producer.owed.lines)
    assert records_in(s3_server, bucket) == Counter(dict.fromkeys(producer.owed.kept, 1))
    assert not is_named()
