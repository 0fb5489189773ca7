"""CloudTrail's eight lookup attributes, derived from a record as AWS derives them.

EventId, EventName, ReadOnly, EventSource and AccessKeyId are members of the record. Username is
the IAM user's name, `root`, or the name of the *session* of an assumed role. Resources are not the
record's `resources` member alone: AWS names what an API call touches, by type, from its parameters.
AWS publishes no table; this one covers the calls that people look up most and takes the record's
own `resources` for the rest.
"""

from collections.abc import Iterator
from typing import Any

_PARAMETERS: dict[str, tuple[tuple[str, str], ...]] = {
    "s3": (("bucketName", "AWS::S3::Bucket"), ("key", "AWS::S3::Object")),
    "iam": (
        ("userName", "AWS::IAM::User"), ("roleName", "AWS::IAM::Role"),
        ("groupName", "AWS::IAM::Group"), ("policyArn", "AWS::IAM::Policy"),
        ("policyName", "AWS::IAM::Policy"), ("accessKeyId", "AWS::IAM::AccessKey"),
        ("instanceProfileName", "AWS::IAM::InstanceProfile"),
        ("serialNumber", "AWS::IAM::MfaDevice"),
        ("sAMLProviderArn", "AWS::IAM::SamlProvider"),
    ),
    "sts": (("roleArn", "AWS::IAM::Role"), ("roleSessionName", "AWS::STS::AssumedRole")),
    "ec2": (
        ("instanceId", "AWS::EC2::Instance"), ("groupId", "AWS::EC2::SecurityGroup"),
        ("groupName", "AWS::EC2::SecurityGroup"), ("vpcId", "AWS::EC2::VPC"),
        ("subnetId", "AWS::EC2::Subnet"), ("imageId", "AWS::EC2::Ami"),
        ("volumeId", "AWS::EC2::Volume"), ("snapshotId", "AWS::EC2::Snapshot"),
        ("keyName", "AWS::EC2::KeyPair"), ("routeTableId", "AWS::EC2::RouteTable"),
        ("internetGatewayId", "AWS::EC2::InternetGateway"),
        ("natGatewayId", "AWS::EC2::NatGateway"), ("networkAclId", "AWS::EC2::NetworkAcl"),
        ("networkInterfaceId", "AWS::EC2::NetworkInterface"),
        ("allocationId", "AWS::EC2::EIP"), ("launchTemplateId", "AWS::EC2::LaunchTemplate"),
    ),
    "lambda": (("functionName", "AWS::Lambda::Function"),),
    "dynamodb": (("tableName", "AWS::DynamoDB::Table"),),
    "kms": (("keyId", "AWS::KMS::Key"), ("aliasName", "AWS::KMS::Alias")),
    "rds": (
        ("dBInstanceIdentifier", "AWS::RDS::DBInstance"),
        ("dBClusterIdentifier", "AWS::RDS::DBCluster"),
        ("dBSnapshotIdentifier", "AWS::RDS::DBSnapshot"),
    ),
    "cloudtrail": (("name", "AWS::CloudTrail::Trail"), ("trailName", "AWS::CloudTrail::Trail")),
    "cloudformation": (("stackName", "AWS::CloudFormation::Stack"),),
    "logs": (("logGroupName", "AWS::Logs::LogGroup"),),
    "monitoring": (("alarmName", "AWS::CloudWatch::Alarm"),),
    "events": (("name", "AWS::Events::Rule"),),
    "sns": (("topicArn", "AWS::SNS::Topic"), ("name", "AWS::SNS::Topic")),
    "sqs": (("queueUrl", "AWS::SQS::Queue"), ("queueName", "AWS::SQS::Queue")),
    "secretsmanager": (("secretId", "AWS::SecretsManager::Secret"),),
    "ssm": (("instanceId", "AWS::EC2::Instance"), ("documentName", "AWS::SSM::Document"),
            ("name", "AWS::SSM::Parameter")),
    "eks": (("name", "AWS::EKS::Cluster"), ("clusterName", "AWS::EKS::Cluster")),
    "ecs": (("cluster", "AWS::ECS::Cluster"), ("taskDefinition", "AWS::ECS::TaskDefinition")),
    "ecr": (("repositoryName", "AWS::ECR::Repository"),),
    "elasticloadbalancing": (("loadBalancerName", "AWS::ElasticLoadBalancing::LoadBalancer"),),
    "autoscaling": (("autoScalingGroupName", "AWS::AutoScaling::AutoScalingGroup"),),
    "route53": (("hostedZoneId", "AWS::Route53::HostedZone"),),
    "config": (("configurationRecorderName", "AWS::Config::ConfigurationRecorder"),),
    "guardduty": (("detectorId", "AWS::GuardDuty::Detector"),),
    "organizations": (("policyId", "AWS::Organizations::Policy"),
                      ("accountId", "AWS::Organizations::Account")),
}  # fmt: skip
"""Per service: members of requestParameters and the type of resource each names."""

_SETS = {"ec2": ("instancesSet", "groupSet", "volumeSet", "securityGroupIdSet")}
"""Lists of EC2: `{"instancesSet": {"items": [{"instanceId": …}]}}`."""

RESOURCES_MAX = 50
NAME_MAX_CHARACTERS = 2000
"""What LookupEvents takes as a value at most."""


def username(record: dict[str, Any]) -> str:
    """Who did it, as LookupEvents names them; empty when the record does not say."""
    identity = record.get("userIdentity")
    if type(identity) is not dict:
        return ""
    name = identity.get("userName")
    if type(name) is str and name:
        return name
    if identity.get("type") == "Root":
        return "root"
    principal = identity.get("principalId")
    if type(principal) is str:
        _, colon, session = principal.partition(":")
        if colon:
            return session
    arn = identity.get("arn")
    if type(arn) is str and "/" in arn:
        return arn.rpartition("/")[2]
    return ""


def resources(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Type and name of each resource the call touched; the type may be empty."""
    found: dict[tuple[str, str], None] = {}
    source = record.get("eventSource")
    service = source.partition(".")[0] if type(source) is str else ""
    rules = _PARAMETERS.get(service)
    parameters = record.get("requestParameters")
    if rules is not None and type(parameters) is dict:
        for member, kind in rules:
            value = parameters.get(member)
            if value is not None:
                for name in _names(value):
                    found[kind, name] = None
        if service in _SETS:
            _take_sets(service, rules, parameters, found)
    own = record.get("resources")
    if type(own) is list:
        for each in own:
            if type(each) is dict:
                arn = each.get("ARN") or each.get("ARNPrefix")
                stated = each.get("type")
                if type(arn) is str and arn:
                    kind = stated if type(stated) is str else ""
                    found[kind, arn[:NAME_MAX_CHARACTERS]] = None
    return list(found)[:RESOURCES_MAX]


def _take_sets(
    service: str,
    rules: tuple[tuple[str, str], ...],
    parameters: dict[str, Any],
    found: dict[tuple[str, str], None],
) -> None:
    for member in _SETS[service]:
        items = parameters.get(member)
        if type(items) is dict and type(items.get("items")) is list:
            for item in items["items"][:RESOURCES_MAX]:
                if type(item) is dict:
                    for key, kind in rules:
                        for name in _names(item.get(key)):
                            found[kind, name] = None


def _names(value: Any) -> Iterator[str]:
    if type(value) is str:
        if value:
            yield value[:NAME_MAX_CHARACTERS]
    elif type(value) is list:
        yield from (each[:NAME_MAX_CHARACTERS] for each in value if type(each) is str and each)


def lookup_event(record: dict[str, Any], event_id: str, text: str, time_s: int) -> dict[str, Any]:
    """One element of LookupEvents' `Events`; members without a value are left out."""
    identity = record.get("userIdentity")
    key = identity.get("accessKeyId") if type(identity) is dict else None
    read_only = record.get("readOnly")
    members = {
        "EventId": event_id,
        "EventName": record.get("eventName"),
        "ReadOnly": None if read_only is None else str(read_only).lower(),
        "AccessKeyId": key,
        "EventTime": time_s,
        "EventSource": record.get("eventSource"),
        "Username": username(record) or None,
        "Resources": [
            {"ResourceType": kind, "ResourceName": name} if kind else {"ResourceName": name}
            for kind, name in resources(record)
        ],
        "CloudTrailEvent": text,
    }
    return {name: value for name, value in members.items() if value is not None}
