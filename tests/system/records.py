"""CloudTrail records made from a number alone, so that what is owed can be made again and compared.

`record(n)` is the same bytes whenever it is asked for.  Among ordinary events are those that a
careless path changes: numbers no float holds, escaped slashes, repeated keys, escaped
zeros, events of global services seen in another region, and events without an eventID.

`poison(n)` is a line that must end in quarantine, with the reason it must be given.
"""

import json
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

ACCOUNTS = ["111122223333", "222233334444", "333344445555"]
REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-2", "sa-east-1"]
GLOBAL_REGION = "us-east-1"
GLOBAL_SERVICES = ["iam", "organizations", "cloudfront", "route53"]
CALLS = [
    ("ec2", "DescribeInstances"), ("ec2", "RunInstances"), ("s3", "GetBucketAcl"),
    ("s3", "PutBucketPolicy"), ("lambda", "Invoke20150331"), ("kms", "Decrypt"),
    ("dynamodb", "DescribeTable"), ("signin", "ConsoleLogin"), ("rds", "StopDBInstance"),
]  # fmt: skip
# Values that a parse and a re-serialisation would not give back as they were.
HARD_VALUES = [
    '{"claimed":12345678901234567890123,"ratio":1.10e-07}',
    r'{"path":"a\/b","tab":"\t","letter":"\u0041\u00e9\ud83d\ude00"}',
    '{"twice":1,"twice":2}',
    r'{"zero":"\u0000","unit":"\u001f"}',
    '{ "spaced" :  [ 1 , 2 ] }',
    '{"text":"' + "Ünïcodé ✓ " * 40 + '"}',
]


@dataclass(frozen=True, slots=True)
class Record:
    number: int
    line: bytes
    account: str
    region: str
    """Where it must be kept: for a global service that is not where it was seen."""
    time_seconds: int
    event_id: str | None
    """None when the record has none and the product has to derive one."""

    @property
    def claim(self) -> str:
        return f"claim-{self.number}"


@dataclass(frozen=True, slots=True)
class Poison:
    line: bytes
    reasons: frozenset[str]
    """Any of these may be given; the line is in quarantine with one of them."""


def record(number: int, seed: int, newest_seconds: int, hours: int = 4) -> Record:
    """The `number`-th event of a run: dated within the `hours` before `newest_seconds`."""
    draw = random.Random(f"{seed}:{number}")
    account, seen_in = draw.choice(ACCOUNTS), draw.choice(REGIONS)
    is_global = number % 11 == 0
    service, call = draw.choice(CALLS)
    if is_global:
        service, call = draw.choice(GLOBAL_SERVICES), "GetUser"
    time_seconds = newest_seconds - draw.randrange(hours * 3600)
    event_id = None if number % 23 == 5 else str(uuid.UUID(int=draw.getrandbits(128), version=4))
    hard = HARD_VALUES[number // 7 % len(HARD_VALUES)] if number % 7 == 3 else "null"
    user = f"user-{draw.randrange(40)}"
    identity = {
        "type": "IAMUser",
        "principalId": f"AIDA{draw.randrange(10**9):09d}",
        "arn": f"arn:aws:iam::{account}:user/{user}",
        "accountId": account,
        "userName": user,
    }
    members = [
        '"eventVersion":"1.11"',
        f'"userIdentity":{json.dumps(identity, separators=(",", ":"))}',
        f'"eventTime":"{datetime.fromtimestamp(time_seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"',
        f'"eventSource":"{service}.amazonaws.com"',
        f'"eventName":"{call}"',
        f'"awsRegion":"{seen_in}"',
        f'"sourceIPAddress":"203.0.{draw.randrange(256)}.{draw.randrange(256)}"',
        '"userAgent":"aws-cli/2.15.0 Python/3.11"',
        f'"requestParameters":{{"claim":"claim-{number}","size":{draw.randrange(10**6)}}}',
        f'"responseElements":{hard}',
        f'"requestID":"{uuid.UUID(int=draw.getrandbits(128))}"',
        *([] if event_id is None else [f'"eventID":"{event_id}"']),
        '"readOnly":false,"eventType":"AwsApiCall","managementEvent":true',
        f'"recipientAccountId":"{account}","eventCategory":"Management"',
    ]
    line = ("{" + ",".join(members) + "}").encode()
    region = GLOBAL_REGION if is_global else seen_in
    return Record(number, line, account, region, time_seconds, event_id)


def forged(original: Record, number: int) -> Poison:
    """Another event under the identity of `original`: it must not take its place."""
    line = original.line.replace(
        f'"claim-{original.number}"'.encode(), f'"poison-{number}"'.encode()
    ).replace(b'"readOnly":false', b'"readOnly":true')
    return Poison(line, frozenset({"conflict"}))


def poison(number: int, seed: int, newest_seconds: int) -> Poison:
    """The `number`-th line that must not be admitted, in turn of each kind."""
    # A record with an eventID and without hard values, or the changes below would miss.
    base = 10_000_001 + number * 7 * 23
    good = record(base, seed, newest_seconds).line
    good = good.replace(f"claim-{base}".encode(), f"poison-{number}".encode())

    def changed(old: str, new: str) -> bytes:
        start = good.index(f'"{old}":"'.encode()) + len(old) + 4
        end = good.index(b'"', start)
        return good[:start] + new.encode() + good[end:]

    ahead = datetime.fromtimestamp(newest_seconds + 40 * 86400, UTC)
    mark = f"poison-{number}".encode()
    kinds: list[tuple[bytes, set[str]]] = [
        (good[:-20], {"not_json"}),
        (b'"' + mark + b'"', {"not_object"}),
        (changed("eventTime", f"yesterday {number}"), {"no_event_time"}),
        (changed("recipientAccountId", "../../../../etc"), {"bad_account"}),
        (changed("awsRegion", "../../../etc/cron.d"), {"bad_region"}),
        (changed("eventTime", f"{ahead:%Y-%m-%dT%H:%M:%SZ}"), {"future"}),
        (good.replace(b"aws-cli", b"\xff\xfe\x80"), {"bad_utf8", "not_json"}),
        (good.replace(b"aws-cli", b"\x00\x01"), {"not_json"}),
        (good.replace(b"null", b"[" * 5000 + b"]" * 5000), {"too_deep", "not_json"}),
        (good.replace(b"null", rb'{"half":"\ud800 alone"}'), {"not_json", "bad_utf8"}),
        (b"\x28\xb5\x2f\xfd" + mark, {"not_json", "bad_utf8"}),
    ]
    line, reasons = kinds[number % len(kinds)]
    assert line != good
    return Poison(line, frozenset(reasons))
