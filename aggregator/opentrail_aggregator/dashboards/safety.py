"""What failed, what somebody should look at, and OpenTrail itself: the other three dashboards.

The numbers in `CIS` are those of the CIS AWS Foundations Benchmark, section 3 of version 1.2, which
most rules in use still go by.
"""

from opentrail_aggregator.dashboards.activity import (
    ADDRESS,
    ADDRESSES,
    ARN,
    FAILED,
    PRINCIPALS,
    SERVICE,
    WHO,
)
from opentrail_aggregator.dashboards.panels import (
    COUNT,
    NEWEST,
    Board,
    Filters,
    Terms,
    any_of,
    bars,
    controls,
    different,
    events,
    heat,
    number,
    numbers,
    over_time,
    pie,
    table,
    text,
)

DENIED = any_of(
    "errorCode", "AccessDenied*", "*UnauthorizedOperation", "Client.Unauthorized*", "*Forbidden*"
)
THROTTLED = any_of("errorCode", "*Throttl*", "*RequestLimitExceeded*", "SlowDown")
CODE = Terms("errorCode", 15, "Error")

ERRORS = Board(
    "errors",
    "OpenTrail: errors and denials",
    "Calls that failed: refused, throttled, wrong.",
    (
        controls(),
        number("denied", "Denied", COUNT, DENIED),
        number("all", "All errors", COUNT, FAILED),
        number("throttled", "Throttled", COUNT, THROTTLED),
        number("denied-who", "Principals denied", PRINCIPALS, DENIED),
        over_time("codes-time", "Errors over time", Terms("errorCode", 8, "Error"), FAILED),
        bars("codes", "Errors", CODE, query=FAILED),
        bars("share", "Share of failed calls by service", SERVICE,
             Filters((("Failed", FAILED), ("Succeeded", "not errorCode:*"))), share=True),
        table("who", "Who failed at what", WHO, Terms("eventName", 5, "Call"),
              Terms("errorCode", 5, "Error"), query=FAILED, width=32, height=16),
        table("addresses", "Where denials came from", ADDRESS,
              metrics=(COUNT, PRINCIPALS, NEWEST), query=DENIED, width=16, height=16),
        heat("codes-services", "Errors by service", SERVICE, CODE, FAILED),
        events("events", "Failed calls, newest first",
               ("errorCode", "errorMessage", "eventSource", "eventName", ARN), FAILED),
    ),
)  # fmt: skip

ROOT = "userIdentity.type:Root and not userIdentity.invokedBy:* and not eventType:AwsServiceEvent"
LOGIN = "eventName:ConsoleLogin"
LOGIN_FAILED = f"{LOGIN} and responseElements.ConsoleLogin:Failure"
LOGIN_OK = f"{LOGIN} and responseElements.ConsoleLogin:Success"
WITHOUT_MFA = f"{LOGIN_OK} and additionalEventData.MFAUsed:No"
_POLICIES = any_of(
    "eventName", "Put*Policy", "Delete*Policy", "Attach*Policy", "Detach*Policy", "CreatePolicy*",
    "DeletePolicyVersion", "SetDefaultPolicyVersion",
)  # fmt: skip
_KMS = "eventSource:kms.amazonaws.com and " + any_of(
    "eventName", "DisableKey", "ScheduleKeyDeletion"
)
_BLIND = any_of(
    "eventName", "StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors", "DeleteFlowLogs",
    "StopConfigurationRecorder", "DeleteDetector",
)  # fmt: skip
_OPENED = (
    "eventName:AuthorizeSecurityGroupIngress and "
    'requestParameters.ipPermissions.items.ipRanges.items.cidrIp:"0.0.0.0/0"'
)
_ACROSS = "eventName:AssumeRole and userIdentity.type:AWSAccount"
CIS = (
    ("3.1 Unauthorized calls", DENIED),
    ("3.2 Login without MFA", WITHOUT_MFA),
    ("3.3 Root used", ROOT),
    ("3.4 IAM policies", f"eventSource:iam.amazonaws.com and {_POLICIES}"),
    ("3.5 Trails", "eventSource:cloudtrail.amazonaws.com and " + any_of(
        "eventName", "CreateTrail", "UpdateTrail", "DeleteTrail", "StartLogging", "StopLogging")),
    ("3.6 Login failed", LOGIN_FAILED),
    ("3.7 Keys disabled", _KMS),
    ("3.8 Bucket policies", "eventSource:s3.amazonaws.com and " + any_of(
        "eventName", "*BucketPolicy", "*BucketAcl", "*BucketCors", "*BucketLifecycle*",
        "*BucketReplication")),
    ("3.9 Config", "eventSource:config.amazonaws.com and " + any_of(
        "eventName", "StopConfigurationRecorder", "DeleteDeliveryChannel", "PutDeliveryChannel",
        "PutConfigurationRecorder")),
    ("3.10 Security groups", any_of(
        "eventName", "*SecurityGroupIngress", "*SecurityGroupEgress", "CreateSecurityGroup",
        "DeleteSecurityGroup")),
    ("3.11 Network ACLs", any_of(
        "eventName", "CreateNetworkAcl*", "DeleteNetworkAcl*", "ReplaceNetworkAcl*")),
    ("3.12 Gateways", any_of("eventName", "*CustomerGateway", "*InternetGateway")),
    ("3.13 Routes", any_of(
        "eventName", "CreateRoute*", "ReplaceRoute*", "DeleteRoute*", "DisassociateRouteTable")),
    ("3.14 VPCs", any_of(
        "eventName", "CreateVpc", "DeleteVpc", "ModifyVpcAttribute", "*VpcPeeringConnection",
        "*ClassicLink*")),
)  # fmt: skip

SECURITY = Board(
    "security",
    "OpenTrail: security",
    "Root, logins, rights, logging switched off, keys and secrets.",
    (
        controls(),
        number("root", "Root used", COUNT, ROOT, width=9),
        number("login-failed", "Logins failed", COUNT, LOGIN_FAILED, width=9),
        number("no-mfa", "Logins without MFA", COUNT, WITHOUT_MFA, width=10),
        number("blind", "Logging tampered with", COUNT, _BLIND, width=10),
        number("opened", "Opened to the world", COUNT, _OPENED, width=10),
        over_time("logins", "Console logins", Filters((
            ("Succeeded", LOGIN_OK), ("Failed", LOGIN_FAILED))), LOGIN, width=24),
        table("cis", "CIS benchmark, section 3", Filters(CIS),
              metrics=(COUNT, PRINCIPALS, NEWEST), width=24, height=20),
        bars("rights", "Calls that give rights", Terms("eventName", 15, "Call"),
             query="not errorCode:* and " + any_of(
                 "eventName", "CreateAccessKey", "CreateUser", "CreateLoginProfile",
                 "Attach*Policy", "Put*Policy", "AddUserToGroup", "UpdateAssumeRolePolicy",
                 "CreatePolicyVersion")),
        table("blind-who", "Who switched logging off or changed it", Terms(ARN, 20, "Principal"),
              Terms("eventName", 10, "Call"), metrics=(COUNT, NEWEST), query=_BLIND),
        table("logins-who", "Logins by user", Terms("userIdentity.userName", 20, "User"),
              Filters((("Succeeded", LOGIN_OK), ("Failed", LOGIN_FAILED),
                       ("Without MFA", WITHOUT_MFA))),
              metrics=(COUNT, ADDRESSES), query=LOGIN),
        numbers("keys", "Keys", Filters((
            ("Disabled", "eventSource:kms.amazonaws.com and eventName:DisableKey"),
            ("To be deleted", "eventSource:kms.amazonaws.com and eventName:ScheduleKeyDeletion"),
        )), width=24),
        table("secrets", "Who read secrets", WHO, metrics=(COUNT, ADDRESSES, NEWEST),
              query="eventName:GetSecretValue"),
        table("across", "Roles assumed from other accounts",
              Terms("userIdentity.accountId", 20, "Caller's account"),
              Terms("recipientAccountId", 5, "Account"), query=_ACROSS),
        pie("tls", "TLS versions", Terms("tlsDetails.tlsVersion", 5, "Version"), width=24),
        events("events", "Root, logging and the open world, newest first",
               ("eventSource", "eventName", ARN, "sourceIPAddress", "requestParameters"),
               f"({ROOT}) or ({_BLIND}) or ({_OPENED})"),
    ),
)  # fmt: skip

_NOTES = """\
- **Different events** is an estimate beyond a few thousand; it is near *Events* when nothing is \
there twice, which the `_id` of each document sees to. `opentrail status` has exact sums.
- **Form**: `bytes` is the record as it came; `normalised` and `fallback` are records whose shape \
the mapping could not take: their fields are changed or missing here, `opentrail show ID` has \
every byte.
- Days are UTC; a chart uses the browser's zone unless Dashboards is told otherwise \
(`dateFormat:tz`).
"""
ITSELF = Board(
    "itself",
    "OpenTrail: itself",
    "Whether events arrive, from everywhere, once, and who looked at the trail.",
    (
        controls(),
        number("newest", "Newest event", NEWEST, width=16),
        number("total", "Events", width=16),
        number("different", "Different events", different("opentrail.id", "Different events"),
               width=16),
        over_time("accounts-time", "Accounts over time: who fell silent?",
                  Terms("opentrail.account", 20, "Account"), width=48),
        over_time("services-time", "Services over time", SERVICE),
        bars("days", "Events by index", Terms("_index", 100, "Index"), width=24),
        table("versions", "Versions of records", Terms("eventVersion", 10, "Version"), width=12),
        table("forms", "Form in the index", Terms("opentrail.form", 3, "Form"), width=12),
        table("readers", "Who read or changed the trail", Terms("eventName", 20, "Call"),
              Terms(ARN, 10, "Principal"), metrics=(COUNT, NEWEST),
              query="eventSource:cloudtrail.amazonaws.com"),
        text("notes", "How to read this", _NOTES),
        events("events", "Calls to the trail, newest first",
               ("eventName", ARN, "sourceIPAddress", "errorCode"),
               "eventSource:cloudtrail.amazonaws.com"),
    ),
)  # fmt: skip
