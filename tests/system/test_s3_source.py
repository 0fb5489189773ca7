"""A bucket is followed by an agent that is killed again and again: all of it once, no more."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.real.versitygw import S3Server

from .oracle import judge
from .processes import COMMANDS, Installation, wait_for
from .producer import Producer

pytestmark = pytest.mark.long
STREAMS = ("o-a1b2c3d4e5/111122223333", "222233334444")


def configuration(installation: Installation, server: S3Server, bucket: str) -> str:
    pki = installation.home / "pki"
    return f"""\
name: import
state: {installation.home / "bucket-agent"}
s3:
  - url: s3://{bucket}
    poll: 1s
    client: {{endpoint: "{server.endpoint}", region: us-east-1, path_style: true}}
ship:
  addresses: ["{installation.grpc}"]
  tls:
    ca: {pki / "ca.crt"}
    certificate: {pki / "agent-import.crt"}
    key: {pki / "agent-import.key"}
"""


def test_a_followed_bucket_survives_kills(
    installation: Installation, tmp_path: Path, s3_server: S3Server
) -> None:
    bucket = s3_server.make_bucket()
    producer = Producer(tmp_path / "source", 81)
    client = s3_server.client()
    number = 0

    def deliver(files: int) -> None:
        nonlocal number
        for _ in range(files):
            number += 1
            path = tmp_path / f"{number}.json.gz"
            producer.records_file(path, 120)
            folder = f"AWSLogs/{STREAMS[number % 2]}/CloudTrail/eu-west-1/2026/11/{20 + number % 2}"
            # Names fall while time goes on: each sorts before those that are there already.
            key = f"{folder}/{1000 - number}.json.gz"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

    def is_received(producer: Producer) -> bool:
        return bool(installation.status()["received"] >= len(producer.owed.kept))

    installation.start(producer.pattern)
    path = tmp_path / "agent.yaml"
    path.write_text(configuration(installation, s3_server, bucket))
    command = [str(COMMANDS / "opentrail-agent"), "run", "--config", str(path)]
    environment = os.environ | s3_server.environment()
    deliver(12)
    for pause in (1.0, 1.6, 2.4, None):
        with open(tmp_path / "agent.log", "ab") as log:
            agent = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deliver(6)
            if pause is None:
                wait_for("all of it is received", lambda: is_received(producer), 90, 0.5)
            else:
                time.sleep(pause)
                assert agent.poll() is None, (tmp_path / "agent.log").read_text()[-2000:]
        finally:
            agent.kill()
            agent.wait()
    judge(installation, producer, at_least=3_000, repeats=True)
