"""What consolidate costs per event: decode, admit, identify, judge, verdicts, id set.

    .venv/bin/python bench/consolidate.py --events 200000 [--copies 0.1] [--profile]

Writes a log of synthetic records (about 1.2 kB, live times) into a new folder, then consolidates
it. The first figure is CPU time of the whole role, the others of its parts taken alone.
"""

import argparse
import cProfile
import json
import pstats
import random
import shutil
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from opentrail.batch import SourceRun, batch_events, digest_of, seal_batch
from opentrail.clock import SystemClock
from opentrail_aggregator.consolidate.consolidator import Consolidator
from opentrail_aggregator.consolidate.examine import examine
from opentrail_aggregator.consolidate.policy import Policy
from opentrail_aggregator.consolidate.settings import ConsolidateSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.quarantine.settings import QuarantineSettings
from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import BatchMeta, LogEntry, batch_frame, control_frame
from opentrail_aggregator.wal.published import PublishedPosition

BATCH_EVENTS = 800
EVERYTHING = {"grants": [{"agent": "*", "accounts": ["*"], "regions": ["*"]}]}
SERVICES = ["ec2", "s3", "lambda", "kms", "ssm", "logs", "sts", "iam", "rds", "sqs"]


@dataclass(frozen=True)
class Sections:
    """The default settings of the role."""

    consolidate: ConsolidateSettings = field(default_factory=ConsolidateSettings)
    quarantine: QuarantineSettings = field(default_factory=QuarantineSettings)


def record(generator: random.Random, second: int) -> bytes:
    """One believable record."""
    account = f"{generator.randrange(5) + 1}" * 12
    role = f"role-{generator.randrange(200)}"
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    identity = {
        "type": "AssumedRole",
        "principalId": f"AROA{generator.randrange(10**12):012d}:session",
        "arn": f"arn:aws:sts::{account}:assumed-role/{role}/session",
        "accountId": account,
        "accessKeyId": f"ASIA{generator.randrange(10**12):012d}",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAEXAMPLE",
                "arn": f"arn:aws:iam::{account}:role/{role}",
                "accountId": account,
                "userName": role,
            },
            "attributes": {"creationDate": moment, "mfaAuthenticated": "false"},
        },
    }
    return json.dumps(
        {
            "eventVersion": "1.10",
            "userIdentity": identity,
            "eventTime": moment,
            "eventSource": f"{generator.choice(SERVICES)}.amazonaws.com",
            "eventName": "DescribeInstances",
            "awsRegion": generator.choice(["us-east-1", "eu-west-1", "ap-south-1"]),
            "sourceIPAddress": f"10.0.{generator.randrange(256)}.{generator.randrange(256)}",
            "userAgent": "aws-cli/2.15.0 Python/3.11.6 Linux/6.1.0 exe/x86_64 command/ec2",
            "requestParameters": {"filterSet": {"items": [{"name": "tag", "value": "x" * 120}]}},
            "responseElements": None,
            "requestID": str(uuid.UUID(int=generator.getrandbits(128))),
            "eventID": str(uuid.UUID(int=generator.getrandbits(128))),
            "readOnly": True,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": account,
            "eventCategory": "Management",
            "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256"},
        },
        separators=(",", ":"),
    ).encode()


def write_log(home: Home, events: int, copies: float) -> tuple[int, int]:
    """Fill the log of `home`; events and raw bytes written."""
    clock = SystemClock()
    log = DiskLog(
        home.log,
        clock,
        segment_bytes=64 << 20,
        published=PublishedPosition(home.log, writing=True),
    )
    log.commit([control_frame("settings", EVERYTHING)])
    generator = random.Random(1)
    now = clock.now_ns() // 10**9
    written = raw_bytes = sequence = 0
    lines: list[bytes] = []
    while written < events:
        again = lines[: int(copies * BATCH_EVENTS)]
        fresh = BATCH_EVENTS - len(again)
        lines = again + [record(generator, now - generator.randrange(60)) for _ in range(fresh)]
        raw = b"".join(line + b"\n" for line in lines)
        payload = seal_batch(raw, len(lines), [SourceRun(source="bench", events=len(lines))], [])
        sequence += 1
        meta = BatchMeta("bench", "0" * 32, sequence, digest_of(payload).hex())
        log.commit([batch_frame(meta, payload, len(lines), 0)])
        written += len(lines)
        raw_bytes += len(raw)
    log.close()
    return written, raw_bytes


def consolidate(home: Home) -> tuple[float, float, float]:
    """CPU seconds, wall seconds, and the longest step."""
    clock = SystemClock()
    role = Consolidator(home, Sections(), clock, Metrics("bench", clock))
    cpu, wall, longest = time.process_time(), time.monotonic(), 0.0
    busy = True
    while busy:
        began = time.monotonic()
        busy = role.step()
        longest = max(longest, time.monotonic() - began)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    role.close()
    return cpu, wall, longest


def parts(home: Home, events: int) -> None:
    """CPU of decompressing, examining and hashing alone."""
    reader, entries, after = DiskLogReader(home.log), [], 0
    while found := reader.read(after, 8 << 20):
        entries += [each for each in found if isinstance(each, LogEntry) and each.is_batch]
        after = found[-1].position if isinstance(found[-1], LogEntry) else found[-1].last
    policy = Policy(EVERYTHING)
    began = time.process_time()
    for entry in entries:
        batch_events(entry.payload)
    print(f"  decompress            {(time.process_time() - began) / events * 1e6:6.2f} us/event")
    began = time.process_time()
    found_all = [examine(entry, policy, 86_400) for entry in entries[:100]]
    count = sum(len(each.lines) for each in found_all)
    print(f"  examine, decompress   {(time.process_time() - began) / count * 1e6:6.2f} us/event")
    began = time.process_time()
    for each in found_all:
        each.hashes()
    print(f"  hash the records      {(time.process_time() - began) / count * 1e6:6.2f} us/event")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--copies", type=float, default=0.0, help="share of copies")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="consolidate-", dir="."))
    try:
        home = Home(directory)
        events, raw = write_log(home, arguments.events, arguments.copies)
        print(f"{events:,} events, {raw / events:.0f} bytes each, {arguments.copies:.0%} copies")
        profile = cProfile.Profile() if arguments.profile else None
        if profile:
            profile.enable()
        cpu, wall, longest = consolidate(home)
        if profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        print(
            f"  the whole role        {cpu / events * 1e6:6.2f} us/event of CPU, "
            f"{events / wall / 1e3:.0f} k events/s, longest step {longest * 1e3:.0f} ms"
        )
        parts(home, events)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
