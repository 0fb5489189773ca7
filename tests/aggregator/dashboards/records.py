"""A day of two accounts for the dashboards: people, roles, services, mistakes and an intruder.

Every question that a panel asks has an answer in it, and none is answered by all of it. The records
are the same each time, and dated within the day before `NOW`.
"""

import random
import uuid
from typing import Any

from tests.aggregator.search.contract import NOW, when

Json = dict[str, Any]
HOME, OTHER, PARTNER = "111122223333", "444455556666", "777788889999"
READS = [
    ("ec2", "DescribeInstances"), ("ec2", "DescribeVpcs"), ("s3", "GetBucketPolicy"),
    ("s3", "ListBuckets"), ("sts", "GetCallerIdentity"), ("iam", "ListRoles"), ("kms", "Decrypt"),
    ("secretsmanager", "GetSecretValue"), ("cloudtrail", "LookupEvents"), ("rds",
    "DescribeDBInstances"), ("dynamodb", "DescribeTable"), ("logs", "DescribeLogGroups"),
]  # fmt: skip
WRITES = [
    ("ec2", "RunInstances"), ("ec2", "TerminateInstances"), ("ec2", "CreateSecurityGroup"),
    ("ec2", "RevokeSecurityGroupEgress"), ("ec2", "CreateNetworkAclEntry"),
    ("ec2", "ReplaceNetworkAclAssociation"), ("ec2", "DeleteNetworkAcl"), ("ec2", "CreateRoute"),
    ("ec2", "ReplaceRouteTableAssociation"), ("ec2", "DeleteRouteTable"),
    ("ec2", "DisassociateRouteTable"), ("ec2", "AttachInternetGateway"),
    ("ec2", "CreateCustomerGateway"), ("ec2", "CreateVpc"), ("ec2", "DeleteVpc"),
    ("ec2", "ModifyVpcAttribute"), ("ec2", "AcceptVpcPeeringConnection"),
    ("ec2", "AttachClassicLinkVpc"), ("ec2", "DeleteFlowLogs"), ("ec2", "StopInstances"),
    ("ec2", "DeleteSecurityGroup"), ("ec2", "ModifyInstanceAttribute"),
    ("ec2", "StartInstances"), ("ec2", "RebootInstances"),
    ("s3", "PutBucketPolicy"), ("s3", "DeleteBucketPolicy"), ("s3", "PutBucketAcl"),
    ("s3", "PutBucketCors"), ("s3", "PutBucketLifecycleConfiguration"),
    ("s3", "PutBucketReplication"), ("s3", "DeletePublicAccessBlock"), ("s3", "CreateBucket"),
    ("iam", "CreateUser"), ("iam", "CreateAccessKey"), ("iam", "CreateLoginProfile"),
    ("iam", "AttachUserPolicy"), ("iam", "DetachRolePolicy"), ("iam", "PutRolePolicy"),
    ("iam", "DeleteGroupPolicy"), ("iam", "CreatePolicyVersion"), ("iam", "CreatePolicy"),
    ("iam", "DeletePolicyVersion"), ("iam", "SetDefaultPolicyVersion"),
    ("iam", "AddUserToGroup"), ("iam", "UpdateAssumeRolePolicy"), ("kms", "DisableKey"),
    ("kms", "ScheduleKeyDeletion"), ("kms", "CreateKey"), ("cloudtrail", "StopLogging"),
    ("cloudtrail", "StartLogging"), ("cloudtrail", "CreateTrail"), ("cloudtrail", "UpdateTrail"),
    ("cloudtrail", "DeleteTrail"), ("cloudtrail", "PutEventSelectors"),
    ("config", "StopConfigurationRecorder"), ("config", "DeleteDeliveryChannel"),
    ("config", "PutDeliveryChannel"), ("config", "PutConfigurationRecorder"),
    ("guardduty", "DeleteDetector"), ("lambda", "UpdateFunctionCode20150331v2"),
]  # fmt: skip
ERRORS = [
    ("AccessDenied", "User: x is not authorized to perform: y"),
    ("AccessDeniedException", "not authorized"),
    ("Client.UnauthorizedOperation", "You are not authorized to perform this operation."),
    ("UnauthorizedOperation", "no"), ("Client.UnauthorizedAccess", "no"), ("Http403Forbidden", ""),
    ("ThrottlingException", "Rate exceeded"), ("Client.RequestLimitExceeded", "Request limit"),
    ("SlowDown", "Please reduce your request rate."), ("NoSuchBucket", "no such bucket"),
    ("ValidationException", "1 validation error"),
]  # fmt: skip
AGENTS = ["aws-cli/2.15.38 Python/3.11.8", "Boto3/1.34 md/Botocore#1.34.84",
          "APN/1.0 HashiCorp/1.0 Terraform/1.7.5", "Mozilla/5.0 (X11; Linux x86_64)"]  # fmt: skip
REGIONS = ["eu-west-1", "us-east-1", "ap-southeast-2"]


def day() -> list[Json]:
    """All of it, in no order."""
    draw = random.Random(41)
    made = []
    for source, name in [*READS * 9, *WRITES * 2]:
        caller = _caller(draw)
        record = _record(draw, caller, source, name, is_read=(source, name) in READS)
        if draw.random() < 0.1:
            record["errorCode"], record["errorMessage"] = draw.choice(ERRORS)
        made.append(record)
    for code, message in ERRORS * 2:
        record = _record(draw, _caller(draw), "s3", "GetBucketPolicy", is_read=True)
        made.append({**record, "errorCode": code, "errorMessage": message})
    made += [_opened(draw, "0.0.0.0/0"), _opened(draw, "10.0.0.0/8"), _opened(draw, "0.0.0.0/0")]
    for user, outcome, mfa in [
        ("alice", "Success", "Yes"), ("bob", "Success", "No"), ("bob", "Failure", "No"),
        ("alice", "Success", "Yes"), ("mallory", "Failure", "No"), ("mallory", "Failure", "No"),
    ]:  # fmt: skip
        made.append(_login(draw, user, outcome, mfa))
    for name in ("ConsoleLogin", "ListBuckets", "CreateAccessKey"):
        root = {"type": "Root", "principalId": HOME, "arn": f"arn:aws:iam::{HOME}:root",
                "accountId": HOME}  # fmt: skip
        made.append(_record(draw, root, "iam", name, is_read=name == "ListBuckets"))
    rotation = {"type": "Root", "accountId": HOME, "invokedBy": "kms.amazonaws.com"}
    made.append(_record(draw, rotation, "kms", "RotateKey", is_read=False, kind="AwsServiceEvent"))
    for _ in range(4):
        partner = {"type": "AWSAccount", "principalId": f"AIDA{PARTNER}", "accountId": PARTNER}
        record = _record(draw, partner, "sts", "AssumeRole", is_read=True)
        made.append({**record, "recipientAccountId": HOME})
    return made


def _record(draw: random.Random, identity: Json, source: str, name: str, *, is_read: bool,
            kind: str = "AwsApiCall", **members: Any) -> Json:  # fmt: skip
    by_service = identity.get("invokedBy")
    account = identity.get("accountId") or HOME
    return {
        "eventVersion": draw.choice(["1.08", "1.11"]),
        "userIdentity": identity,
        "eventTime": when(NOW - 1 - draw.randrange(86_000)),
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1" if source == "iam" else draw.choice(REGIONS),
        "sourceIPAddress": by_service or f"203.0.113.{draw.randrange(12)}",
        "userAgent": by_service or draw.choice(AGENTS),
        "requestParameters": {"name": f"{name}-{draw.randrange(5)}"},
        "responseElements": None,
        "requestID": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        "eventID": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        "readOnly": is_read,
        "eventType": kind,
        "managementEvent": name != "GetSecretValue",
        "eventCategory": "Data" if name == "GetSecretValue" else "Management",
        "recipientAccountId": account,
        "tlsDetails": {"tlsVersion": draw.choice(["TLSv1.2", "TLSv1.3", "TLSv1.3"])},
        **members,
    }


def _caller(draw: random.Random) -> Json:
    account = draw.choice([HOME, HOME, OTHER])
    name = draw.choice(["alice", "bob", "carol"])
    match draw.randrange(4):
        case 0:
            return {"type": "IAMUser", "arn": f"arn:aws:iam::{account}:user/{name}",
                    "accountId": account, "userName": name}  # fmt: skip
        case 1:
            return {"type": "AWSService", "invokedBy": draw.choice(
                ["autoscaling.amazonaws.com", "cloudformation.amazonaws.com"])}  # fmt: skip
        case _:
            role = draw.choice(["Admin", "Deploy", "ReadOnly"])
            issuer = {"type": "Role", "arn": f"arn:aws:iam::{account}:role/{role}",
                      "accountId": account, "userName": role}  # fmt: skip
            return {"type": "AssumedRole",
                    "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{name}",
                    "accountId": account, "sessionContext": {"sessionIssuer": issuer}}  # fmt: skip


def _opened(draw: random.Random, cidr: str) -> Json:
    ranges = {"items": [{"cidrIp": "192.0.2.0/24"}, {"cidrIp": cidr}]}
    items = {"items": [{"ipProtocol": "tcp", "fromPort": 22, "ipRanges": ranges}]}
    return _record(draw, _caller(draw), "ec2", "AuthorizeSecurityGroupIngress", is_read=False,
                   requestParameters={"groupId": "sg-1", "ipPermissions": items})  # fmt: skip


def _login(draw: random.Random, user: str, outcome: str, mfa: str) -> Json:
    identity = {"type": "IAMUser", "arn": f"arn:aws:iam::{HOME}:user/{user}", "accountId": HOME,
                "userName": user}  # fmt: skip
    failed = {"errorMessage": "Failed authentication"} if outcome == "Failure" else {}
    return _record(
        draw, identity, "signin", "ConsoleLogin", is_read=False, kind="AwsConsoleSignIn",
        requestParameters=None, responseElements={"ConsoleLogin": outcome},
        additionalEventData={"MFAUsed": mfa, "LoginTo": "https://console.aws.amazon.com"}, **failed,
    )  # fmt: skip
