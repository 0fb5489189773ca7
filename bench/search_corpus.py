"""The records of the search figures: believable calls of 2,000 users from 5,000 addresses.

Each day has a seed of its own, so what was asked for can be made again without being kept.
"""

import random
import uuid
from datetime import UTC, datetime

import orjson

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
