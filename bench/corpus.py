"""CloudTrail-like records for the bench: deterministic, about 1.27 kB each, compressing like real
ones (zstd level 3 about 8 times).

`write_corpus(path, count, newest)` makes the same bytes for the same arguments.  Every record has
its own eventID and requestID; users, keys, addresses and calls are drawn from skewed pools, as in
a real account.  `"eventVersion"` occurs exactly once in each, so an output can be counted by it.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

MARK = b'"eventVersion"'
SECONDS = 7 * 86400
ACCOUNTS = [f"{number:012d}" for number in range(210_000_000_001, 210_000_000_006)]
REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"]
AGENTS = [
    "Boto3/1.34.84 md/Botocore#1.34.84 ua/2.0 os/linux#5.10.0 lang/python#3.11.8",
    "aws-cli/2.15.38 Python/3.11.8 Linux/5.10.210-201.852.amzn2.x86_64 exe/x86_64.amzn.2",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0 Safari",
    "APN/1.0 HashiCorp/1.0 Terraform/1.7.5 terraform-provider-aws/5.46.0 aws-sdk-go-v2/1.26.1",
    "autoscaling.amazonaws.com",
]
CALLS: list[tuple[str, str, bool]] = [
    ("ec2", "DescribeInstances", True), ("ec2", "DescribeSecurityGroups", True),
    ("ec2", "RunInstances", False), ("ec2", "AuthorizeSecurityGroupIngress", False),
    ("s3", "GetBucketAcl", True), ("s3", "ListBuckets", True), ("s3", "PutBucketPolicy", False),
    ("sts", "AssumeRole", True), ("sts", "GetCallerIdentity", True), ("kms", "Decrypt", True),
    ("kms", "GenerateDataKey", True), ("iam", "ListRoles", True), ("iam", "GetRolePolicy", True),
    ("iam", "AttachRolePolicy", False), ("lambda", "ListFunctions20150331", True),
    ("lambda", "UpdateFunctionCode20150331v2", False), ("logs", "CreateLogStream", False),
    ("logs", "DescribeLogGroups", True), ("dynamodb", "DescribeTable", True),
    ("rds", "DescribeDBInstances", True), ("ssm", "GetParameters", True),
    ("ssm", "UpdateInstanceInformation", False), ("secretsmanager", "GetSecretValue", True),
    ("monitoring", "DescribeAlarms", True), ("ecr", "GetAuthorizationToken", True),
    ("signin", "ConsoleLogin", False), ("cloudtrail", "LookupEvents", True),
]  # fmt: skip
ERRORS = [None] * 12 + ["AccessDenied", "Client.UnauthorizedOperation", "ThrottlingException"]


def records(count: int, newest: int, seed: int = 1, first: int = 0) -> Iterator[bytes]:
    """`count` records, oldest first, spread over the seven days before `newest` (epoch seconds)."""
    draw = random.Random(f"{seed}:{first}")
    bits, pick = draw.getrandbits, draw.random
    users = [_user(random.Random(f"{seed}:user:{n}"), n) for n in range(2000)]
    shapes = [_shape(random.Random(f"{seed}:shape:{n}"), n) for n in range(120)]
    keys = [f"{bits(80):020X}"[:16] for _ in range(4000)]
    addresses = [f"198.51.{n % 256}.{n * 7 % 256}" for n in range(5000)]
    for number in range(first, first + count):
        account = ACCOUNTS[int(pick() ** 2 * len(ACCOUNTS))]
        region = REGIONS[int(pick() ** 2 * len(REGIONS))]
        user = users[int(pick() ** 3 * len(users))].replace("@ACCOUNT@", account)
        user = user.replace("@SESSION@", f"{bits(64):016x}").replace("@ACCESS@", draw.choice(keys))
        shape = shapes[int(pick() ** 2 * len(shapes))]
        when = newest - SECONDS + int((number - first + 1) * SECONDS / count)
        time = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        identifier, request = f"{bits(128):032x}", f"{bits(128):032x}"
        yield (
            f'{{"eventVersion":"1.11","userIdentity":{user},"eventTime":"{time}",{shape[0]},'
            f'"awsRegion":"{region}","sourceIPAddress":"{addresses[int(pick() ** 2 * 5000)]}",'
            f"{shape[1].replace('@KEY@', f'{bits(64):016x}').replace('@ITEM@', f'{bits(68):017x}')}"
            f',"requestID":"{_uuid(request)}",'
            f'"eventID":"{_uuid(identifier)}",{shape[2]},"recipientAccountId":"{account}",'
            '"eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":'
            f'"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{shape[3]}.{region}'
            '.amazonaws.com"}}'
        ).encode()


def write_corpus(path: Path, count: int, newest: int) -> Path:
    """`count` lines in `path`, made only when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        working = path.with_suffix(".making")
        with open(working, "wb") as file:
            batch: list[bytes] = []
            for line in records(count, newest):
                batch.append(line)
                if len(batch) == 10_000:
                    file.write(b"\n".join(batch) + b"\n")
                    batch.clear()
            if batch:
                file.write(b"\n".join(batch) + b"\n")
        working.rename(path)
    return path


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _user(draw: random.Random, number: int) -> str:
    principal = f"{draw.getrandbits(70):X}"[:16]
    if number % 3:
        role, session = f"role-{number % 40}", "session-@SESSION@"
        identity: dict[str, object] = {
            "type": "AssumedRole",
            "principalId": f"AROA{principal}:{session}",
            "arn": f"arn:aws:sts::@ACCOUNT@:assumed-role/{role}/{session}",
            "accountId": "@ACCOUNT@",
            "accessKeyId": "ASIA@ACCESS@",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role", "principalId": f"AROA{principal}",
                    "arn": f"arn:aws:iam::@ACCOUNT@:role/{role}", "accountId": "@ACCOUNT@",
                    "userName": role,
                },
                "attributes": {"creationDate": "2026-01-01T00:00:00Z", "mfaAuthenticated": "false"},
            },
        }  # fmt: skip
    else:
        identity = {
            "type": "IAMUser", "principalId": f"AIDA{principal}",
            "arn": f"arn:aws:iam::@ACCOUNT@:user/user-{number}", "accountId": "@ACCOUNT@",
            "accessKeyId": "AKIA@ACCESS@", "userName": f"user-{number}",
        }  # fmt: skip
    return json.dumps(identity, separators=(",", ":"))


def _shape(draw: random.Random, number: int) -> tuple[str, str, str, str]:
    service, call, reads = CALLS[number % len(CALLS)]
    error = draw.choice(ERRORS)
    parameters = {
        f"{draw.choice(['filter', 'resource', 'target', 'group'])}{n}": draw.choice([
            f"arn:aws:{service}:us-east-1:210000000001:thing/{draw.getrandbits(40):010x}",
            f"id-{draw.getrandbits(64):016x}", "id-@ITEM@", draw.randrange(1000), True,
            {"items": [{"name": f"tag-{draw.randrange(50)}", "value": f"{draw.getrandbits(32)}"}]},
        ])
        for n in range(draw.randrange(1, 7))
    } | {"clientToken": "@KEY@"}  # fmt: skip
    answer = None if reads else {
        "requestId": "@KEY@", "_return": True,
        "resource": {"id": f"r-{draw.getrandbits(64):016x}", "state": "pending"},
    }  # fmt: skip
    dump = json.dumps
    failed = (
        f'"errorCode":"{error}","errorMessage":"User is not authorized to perform: '
        f'{service}:{call} because no identity-based policy allows the {service}:{call} action",'
        if error else ""
    )  # fmt: skip
    return (
        f'"eventSource":"{service}.amazonaws.com","eventName":"{call}"',
        f'"userAgent":"{draw.choice(AGENTS)}",{failed}'
        f'"requestParameters":{dump(parameters, separators=(",", ":"))},'
        f'"responseElements":{dump(answer, separators=(",", ":"))}',
        f'"readOnly":{dump(reads)},"eventType":"AwsApiCall","managementEvent":true',
        service,
    )
