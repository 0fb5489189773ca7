"""What can happen: one entry per kind of call, with how often, by whom, and what it says.

`parameters` and `response` are functions of a `Call`, so that names in one record agree with each
other. Names, spellings and forms are CloudTrail's own: EC2's sets of items, S3's `bucketName`,
secrets hidden, a null where a call has no parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass

from opentrail_aggregator.sample.world import Account, Json, Session, World


@dataclass(frozen=True, slots=True)
class Call:
    """One call about to be recorded."""

    world: World
    session: Session
    account: Account
    region: str
    now_text: str

    def pick(self, items: list[str]) -> str:
        return self.world.rng.choice(items)


Part = Callable[[Call], Json | None]


def _nothing(_: Call) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of call."""

    source: str
    name: str
    weight: int
    parameters: Part = _nothing
    response: Part = _nothing
    read: bool = True
    data: bool = False
    by: tuple[str, ...] = ("person", "program")
    is_global: bool = False
    """Recorded in us-east-1 wherever the caller is."""
    errors: tuple[tuple[str, str], ...] = ()
    error_share: float = 0.04
    resources: Callable[[Call, Json | None], list[Json]] | None = None


_DENIED = (("AccessDenied", "User: {arn} is not authorized to perform: {action}"),)
_EC2_DENIED = (
    ("Client.UnauthorizedOperation", "You are not authorized to perform this operation."),
    ("Client.RequestLimitExceeded", "Request limit exceeded."),
)


def _instances(call: Call) -> Json:
    return {"instancesSet": {"items": [{"instanceId": call.pick(call.account.instances)}]}}


def _launch(call: Call) -> Json:
    return {
        "instancesSet": {"items": [{"imageId": call.world.identifier("ami-0", 16), "minCount": 1,
                                    "maxCount": 1}]},
        "instanceType": call.world.rng.choice(("t3.micro", "m6g.large", "c7g.xlarge")),
        "subnetId": call.world.identifier("subnet-0", 16),
        "monitoring": {"enabled": False},
        "disableApiTermination": False,
    }  # fmt: skip


def _launched(call: Call) -> Json:
    instance = call.world.identifier("i-0", 16)
    call.account.instances[call.world.rng.randrange(len(call.account.instances))] = instance
    return {
        "requestId": call.world.identifier("", 12),
        "reservationId": call.world.identifier("r-0", 16),
        "ownerId": call.account.number,
        "instancesSet": {"items": [{"instanceId": instance,
                                    "instanceState": {"code": 0, "name": "pending"}}]},
    }  # fmt: skip


def _ingress(call: Call) -> Json:
    port = call.world.rng.choice((22, 443, 5432))
    return {
        "groupId": call.world.identifier("sg-0", 16),
        "ipPermissions": {"items": [{"ipProtocol": "tcp", "fromPort": port, "toPort": port,
                                     "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}}]},
    }  # fmt: skip


def _object(call: Call) -> Json:
    bucket = call.pick(call.account.buckets)
    day = call.now_text[:10].replace("-", "/")
    return {
        "bucketName": bucket,
        "Host": f"{bucket}.s3.{call.region}.amazonaws.com",
        "key": f"exports/{day}/part-{call.world.rng.randrange(10_000):05d}.parquet",
    }


def _bucket(call: Call) -> Json:
    bucket = call.pick(call.account.buckets)
    return {"bucketName": bucket, "Host": f"{bucket}.s3.{call.region}.amazonaws.com"}


def _object_resources(call: Call, parameters: Json | None) -> list[Json]:
    assert parameters is not None
    arn = f"arn:aws:s3:::{parameters['bucketName']}"
    return [
        {"type": "AWS::S3::Object", "ARN": f"{arn}/{parameters.get('key', '')}"},
        {"accountId": call.account.number, "type": "AWS::S3::Bucket", "ARN": arn},
    ]


def _key_arn(call: Call) -> str:
    return f"arn:aws:kms:{call.region}:{call.account.number}:key/{call.account.keys[0]}"


def _key_resources(call: Call, _: Json | None) -> list[Json]:
    return [{"accountId": call.account.number, "type": "AWS::KMS::Key", "ARN": _key_arn(call)}]


def _function_arn(call: Call) -> str:
    function = call.pick(call.account.functions)
    return f"arn:aws:lambda:{call.region}:{call.account.number}:function:{function}"


def _function_resources(call: Call, parameters: Json | None) -> list[Json]:
    assert parameters is not None
    return [{"accountId": call.account.number, "type": "AWS::Lambda::Function",
             "ARN": parameters["functionName"]}]  # fmt: skip


def _new_user(call: Call) -> Json:
    return {"userName": f"svc-{call.world.rng.choice(('report', 'mirror', 'probe'))}"}


def _new_key(call: Call) -> Json:
    return {"accessKey": {"userName": "svc-report", "accessKeyId": call.world.access_key("AKIA"),
                          "status": "Active", "createDate": call.now_text}}  # fmt: skip


def _table(call: Call) -> Json:
    return {"tableName": call.pick(call.account.tables), "key": ["tenant", "id"]}


SHAPES: tuple[Shape, ...] = (
    Shape("ec2", "DescribeInstances", 30, _instances, errors=_EC2_DENIED),
    Shape("ec2", "DescribeSecurityGroups", 14, lambda c: {"maxResults": 100}, errors=_EC2_DENIED),
    Shape("ec2", "DescribeVolumes", 8, lambda c: {"volumeSet": {}, "filterSet": {}}),
    Shape("ec2", "RunInstances", 3, _launch, _launched, read=False, errors=_EC2_DENIED),
    Shape("ec2", "TerminateInstances", 2, _instances, _instances, read=False, errors=_EC2_DENIED),
    Shape("ec2", "AuthorizeSecurityGroupIngress", 1, _ingress, lambda c: {"_return": True},
          read=False, by=("person",)),
    Shape("s3", "ListBuckets", 6, lambda c: {"Host": f"s3.{c.region}.amazonaws.com"}),
    Shape("s3", "GetBucketAcl", 5, _bucket, resources=_object_resources),
    Shape("s3", "PutBucketPolicy", 1, _bucket, read=False, errors=_DENIED, by=("person",),
          resources=_object_resources),
    Shape("s3", "GetObject", 40, _object, data=True, by=("program",), resources=_object_resources,
          errors=(("NoSuchKey", "The specified key does not exist."), *_DENIED)),
    Shape("s3", "PutObject", 22, _object, read=False, data=True, by=("program",),
          resources=_object_resources),
    Shape("s3", "DeleteObject", 2, _object, read=False, data=True, by=("program",),
          resources=_object_resources),
    Shape("lambda", "Invoke", 14, lambda c: {"functionName": _function_arn(c),
                                             "invocationType": "RequestResponse"},
          read=False, data=True, by=("program", "service"), resources=_function_resources),
    Shape("lambda", "UpdateFunctionCode20150331v2", 1,
          lambda c: {"functionName": _function_arn(c), "publish": True, "dryRun": False},
          lambda c: {"runtime": "python3.12", "lastUpdateStatus": "InProgress"}, read=False),
    Shape("lambda", "ListFunctions20150331", 4),
    Shape("dynamodb", "GetItem", 16, _table, data=True, by=("program",),
          errors=(("ProvisionedThroughputExceededException", "Rate of requests exceeded."),)),
    Shape("dynamodb", "DescribeTable", 4, lambda c: {"tableName": c.pick(c.account.tables)}),
    Shape("kms", "Decrypt", 22, lambda c: {"encryptionAlgorithm": "SYMMETRIC_DEFAULT",
                                           "encryptionContext": {"aws:s3:arn": "arn:aws:s3:::x"}},
          by=("program", "service"), resources=_key_resources, errors=_DENIED),
    Shape("kms", "GenerateDataKey", 10, lambda c: {"keyId": _key_arn(c), "keySpec": "AES_256"},
          by=("program", "service"), resources=_key_resources),
    Shape("secretsmanager", "GetSecretValue", 7,
          lambda c: {"secretId": f"{c.account.name}/database"}, errors=_DENIED),
    Shape("ssm", "GetParameters", 6, lambda c: {"names": [f"/{c.account.name}/endpoint"],
                                                "withDecryption": True}),
    Shape("logs", "DescribeLogGroups", 6, lambda c: {"limit": 50}),
    Shape("monitoring", "DescribeAlarms", 5),
    Shape("rds", "DescribeDBInstances", 5),
    Shape("rds", "ModifyDBInstance", 1, lambda c: {
              "dBInstanceIdentifier": f"{c.account.name}-main",
              "masterUserPassword": "HIDDEN_DUE_TO_SECURITY_REASONS", "applyImmediately": True},
          lambda c: {"dBInstanceStatus": "available", "engine": "postgres"}, read=False),
    Shape("iam", "ListRoles", 4, is_global=True),
    Shape("iam", "GetUser", 5, _new_user, is_global=True, errors=(
              ("NoSuchEntityException", "The user with name svc-report cannot be found."),
              *_DENIED), error_share=0.3),
    Shape("iam", "CreateUser", 1, _new_user, lambda c: {"user": {
              **_new_user(c), "path": "/", "createDate": c.now_text}}, read=False, is_global=True,
          by=("person",)),
    Shape("iam", "CreateAccessKey", 1, _new_user, _new_key, read=False, is_global=True,
          by=("person",)),
    Shape("iam", "AttachRolePolicy", 1, lambda c: {
              "roleName": "orders-service",
              "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
          read=False, is_global=True, by=("person",), errors=_DENIED),
    Shape("organizations", "ListAccounts", 1, is_global=True, by=("person",)),
    Shape("route53", "ChangeResourceRecordSets", 1, lambda c: {"hostedZoneId": "Z0EXAMPLE"},
          lambda c: {"changeInfo": {"status": "PENDING", "submittedAt": c.now_text}},
          read=False, is_global=True),
    Shape("cloudfront", "CreateInvalidation", 1, lambda c: {"distributionId": "E1EXAMPLE"},
          read=False, is_global=True, by=("program",)),
    Shape("sts", "GetCallerIdentity", 8),
    Shape("cloudtrail", "LookupEvents", 2, lambda c: {"maxResults": 50}, by=("person",)),
    Shape("cloudtrail", "StopLogging", 1, lambda c: {"name": "organization-trail"}, read=False,
          by=("person",), errors=_DENIED, error_share=0.8),
)  # fmt: skip
