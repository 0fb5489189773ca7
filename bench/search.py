"""Search figures: many events over 90 days through the index's own writing code, then questions.

    python bench/search.py [--events 5000000] [--questions 1000] [--home DIR] [--keep]

Builds `--events` synthetic CloudTrail records over 90 days, 5 accounts and 5 regions with the code
that the index role runs (records, terms, commits; one writing thread, one commit a day), then asks
`--questions` different questions of each kind at the engine, as the HTTP port does, and prints p50
and p99. What HTTP adds is not in these numbers. Warm: every kind is asked once through first.
"""

import argparse
import os
import random
import resource
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson

from opentrail.clock import SystemClock
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.days import Days
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.engine import IndexEngine
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.retention import day_of
from opentrail_aggregator.index.settings import IndexSettings
from opentrail_aggregator.search.settings import SearchSettings

DAYS = 90
ACCOUNTS = [f"{number}" * 12 for number in range(1, 6)]
REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"]
CALLS = [
    ("s3", "GetObject", True, 30), ("s3", "PutObject", False, 12), ("s3", "ListObjects", True, 8),
    ("sts", "AssumeRole", True, 14), ("kms", "Decrypt", True, 12),
    ("ec2", "DescribeInstances", True, 10), ("ec2", "RunInstances", False, 1),
    ("iam", "GetRole", True, 4), ("iam", "CreateUser", False, 1),
    ("dynamodb", "GetItem", True, 4), ("lambda", "Invoke", False, 3),
    ("logs", "CreateLogStream", False, 2), ("secretsmanager", "GetSecretValue", True, 1),
]  # fmt: skip
AGENTS = ["aws-cli/2.15.30 Python/3.11.8 Linux/6.1", "Boto3/1.34.69 md/Botocore#1.34.69",
          "aws-sdk-go/1.50.3 (go1.21; linux; amd64)", "Terraform/1.7 aws-sdk-go-v2/1.24",
          "console.amazonaws.com"]  # fmt: skip
WORDS = ["report", "invoice", "backup", "photo", "export", "image", "daily", "weekly", "model"]


class Maker:
    """Believable records from a seed: 2,000 users, 5,000 addresses, 400 buckets."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.weights = [weight for *_, weight in CALLS]

    def record(self, second: int) -> tuple[bytes, str, str]:
        chance = self.chance
        service, name, read_only, _ = chance.choices(CALLS, self.weights)[0]
        account = chance.choice(ACCOUNTS)
        region = "us-east-1" if service == "iam" else chance.choice(REGIONS)
        user = f"user{min(int(chance.expovariate(0.005)), 1999):04d}"
        record: dict[str, object] = {
            "eventVersion": "1.11",
            "userIdentity": self.identity(account, user),
            "eventTime": datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": region,
            "sourceIPAddress": f"203.0.{chance.randrange(20)}.{chance.randrange(250)}",
            "userAgent": chance.choice(AGENTS),
            "requestParameters": self.parameters(service, account),
            "responseElements": None,
            "requestID": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "eventID": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "readOnly": read_only,
            "eventType": "AwsApiCall",
            "managementEvent": service != "s3",
            "recipientAccountId": account,
            "eventCategory": "Data" if service == "s3" else "Management",
            "tlsDetails": {
                "tlsVersion": "TLSv1.3",
                "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": f"{service}.{region}.amazonaws.com",
            },
        }
        if chance.random() < 0.06:
            record["errorCode"] = chance.choice(["AccessDenied", "ThrottlingException"])
            record["errorMessage"] = (
                f"User: arn:aws:iam::{account}:user/{user} is not authorized to perform: "
                f"{service}:{name} because no identity-based policy allows the action"
            )
        if service == "s3":
            record["additionalEventData"] = {
                "SignatureVersion": "SigV4",
                "CipherSuite": "TLS_AES_128_GCM_SHA256",
                "bytesTransferredIn": 0,
                "bytesTransferredOut": chance.randrange(1_000_000),
                "AuthenticationMethod": "AuthHeader",
            }
        return orjson.dumps(record), account, region

    def identity(self, account: str, user: str) -> dict[str, object]:
        chance = self.chance
        if chance.random() < 0.6:
            return {
                "type": "AssumedRole",
                "principalId": f"AROA{user.upper()}:{user}",
                "arn": f"arn:aws:sts::{account}:assumed-role/team{chance.randrange(40)}/{user}",
                "accountId": account,
                "accessKeyId": f"ASIA{chance.randrange(4000):016d}",
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "arn": f"arn:aws:iam::{account}:role/team{chance.randrange(40)}",
                        "accountId": account,
                        "userName": f"team{chance.randrange(40)}",
                    },
                    "attributes": {
                        "creationDate": "2026-01-01T08:00:00Z",
                        "mfaAuthenticated": "false",
                    },
                },
            }
        return {
            "type": "IAMUser",
            "principalId": f"AIDA{user.upper()}",
            "arn": f"arn:aws:iam::{account}:user/{user}",
            "accountId": account,
            "accessKeyId": f"AKIA{user.upper()}",
            "userName": user,
        }

    def parameters(self, service: str, account: str) -> dict[str, object]:
        chance = self.chance
        if service == "s3":
            return {
                "bucketName": f"bucket-{chance.randrange(400):03d}",
                "Host": "s3.amazonaws.com",
                "key": f"{chance.choice(WORDS)}/{chance.randrange(365)}/"
                f"{chance.choice(WORDS)}-{chance.randrange(10_000)}.bin",
            }
        if service == "sts":
            return {
                "roleArn": f"arn:aws:iam::{account}:role/team{chance.randrange(40)}",
                "roleSessionName": f"session-{chance.randrange(1000)}",
                "durationSeconds": 3600,
            }
        if service == "ec2":
            return {"instancesSet": {"items": [{"instanceId": f"i-{chance.randrange(5000):017x}"}]}}
        return {"name": f"{chance.choice(WORDS)}-{chance.randrange(500)}", "limit": 50}


def build(home: Home, events: int, now: int) -> tuple[float, float]:
    """Write the index; CPU and wall microseconds per event, without making the records."""
    generations = Generations(home.index)
    generation = generations.create()
    generation.write(generation.read())
    clock = SystemClock()
    days = Days(generation.day, IndexSettings(commit_seconds=1.0), clock)
    maker, position, cpu, wall = Maker(1), 1 << 16, 0.0, 0.0
    for number in range(DAYS):
        first = (now // 86400 - DAYS + 1 + number) * 86400
        day = day_of(first)
        days.recent_from = day
        share = events * (number + 1) // DAYS - events * number // DAYS
        batch: list[Event] = []
        for index in range(share):
            second = min(first + index * 86400 // max(share, 1), now)
            record, account, region = maker.record(second)
            position += 1
            batch.append(Event(record, "", second, account, region, position))
            if len(batch) == 2000 or index == share - 1:
                spent, began = time.process_time(), time.perf_counter()
                for event in batch:
                    days.gather(day, event)
                days.work(is_idle=False)
                cpu += time.process_time() - spent
                wall += time.perf_counter() - began
                batch = []
        spent, began = time.process_time(), time.perf_counter()
        days.flush()
        days.close(day)
        cpu += time.process_time() - spent
        wall += time.perf_counter() - began
    generations.switch_to(generation)
    return cpu / events * 1e6, wall / events * 1e6


def questions(
    engine: IndexEngine, now: int, count: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    chance = random.Random(5)
    users = [f"user{chance.randrange(2000):04d}" for _ in range(count)]

    def ask(query: str) -> Callable[[], object]:
        return lambda: engine.search(query, limit=50)

    for index, user in enumerate(users):
        attribute = [
            f"Username:{user}",
            f"userIdentity.accessKeyId:AKIA{user.upper()}",
            f"requestParameters.bucketName:bucket-{index % 400:03d}",
            f"eventName:{CALLS[index % len(CALLS)][1]} opentrail.account:{ACCOUNTS[index % 5]}",
            f"sourceIPAddress:203.0.{index % 20}.{index % 250}",
        ][index % 5]
        yield "one attribute", ask(attribute)
        text = [
            f"{user}", f"{WORDS[index % 9]} {index % 365}", f"session {index % 1000}",
            f'"not authorized to perform: s3" {user}', f"{WORDS[index % 9]}-{index % 10_000}",
        ][index % 5]  # fmt: skip
        yield "free text", ask(text)
        end = now - index % 80 * 86400
        query = ["*", f"eventName:{CALLS[index % len(CALLS)][1]}", "errorCode:*",
                 f"Username:{user}", "eventName:Get*"][index % 5]  # fmt: skip
        yield (
            "hourly counts over 7 days",
            lambda query=query, end=end: engine.count(query, "hour", start=end - 604800, end=end),
        )


def report(name: str, times: list[float]) -> None:
    times.sort()
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
    print(f"{name:28} {len(times):6} asked   p50 {p50 * 1e3:8.2f} ms   p99 {p99 * 1e3:8.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--home", type=Path, help="where the index is built, or found if built")
    parser.add_argument("--keep", action="store_true", help="leave the index there")
    options = parser.parse_args()
    path = options.home or Path(tempfile.mkdtemp(prefix="opentrail-search-"))
    home, now = Home(path), int(time.time())
    if Generations(home.index).current() is None:
        cpu, wall = build(home, options.events, now)
        print(f"built {options.events} events: {cpu:.1f} us CPU, {wall:.1f} us wall per event")
    size = sum(file.stat().st_size for file in home.index.rglob("*") if file.is_file())
    print(f"on disk {size / 1e6:.0f} MB, {size / options.events:.0f} B per event")
    engine = IndexEngine(home, SearchSettings(), SystemClock())
    for _, ask in questions(engine, now, min(50, options.questions)):
        ask()
    times: dict[str, list[float]] = {}
    for name, ask in questions(engine, now, options.questions):
        began = time.perf_counter()
        ask()
        times.setdefault(name, []).append(time.perf_counter() - began)
    for name, spent in times.items():
        report(name, spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident {peak:.0f} MB, of which anonymous now {anonymous_mb():.0f} MB")
    if not options.keep and options.home is None:
        shutil.rmtree(path, ignore_errors=True)


def anonymous_mb() -> float:
    with open(f"/proc/{os.getpid()}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
