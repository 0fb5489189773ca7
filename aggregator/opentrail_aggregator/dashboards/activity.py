"""What happens, who does it, and what was changed: three of the six dashboards."""

from opentrail_aggregator.dashboards.panels import (
    COUNT,
    NEWEST,
    Board,
    Filters,
    Terms,
    Time,
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
)

ARN = "userIdentity.arn"
PRINCIPALS = different(ARN, "Principals")
ADDRESSES = different("sourceIPAddress", "Addresses")
SERVICE = Terms("eventSource", 10, "Service")
CALL = Terms("eventName", 15, "Call")
WHO = Terms(ARN, 15, "Principal")
ADDRESS = Terms("sourceIPAddress", 15, "Address")
FAILED = "errorCode:*"
LIST = ("eventSource", "eventName", ARN, "sourceIPAddress", "awsRegion", "errorCode")

OVERVIEW = Board(
    "overview",
    "OpenTrail: overview",
    "How much happens, where, and when it was different.",
    (
        controls(),
        number("total", "Events", width=10),
        number("principals", "Principals", PRINCIPALS, width=10),
        number("addresses", "Source addresses", ADDRESSES, width=10),
        number("failed", "Failed calls", COUNT, FAILED, width=8),
        number("newest", "Newest event", NEWEST, width=10),
        over_time("reads", "Reads and writes over time",
                  Filters((("Reads", "readOnly:true"), ("Writes", "readOnly:false")))),
        bars("services", "Services", SERVICE, width=16),
        bars("calls", "Calls", CALL, width=16),
        pie("regions", "Regions", Terms("awsRegion", 10, "Region"), width=8),
        pie("accounts", "Accounts", Terms("recipientAccountId", 10, "Account"), width=8),
        heat("services-time", "Services over time", Time(), SERVICE),
        table("categories", "Kinds of events", Terms("eventCategory", 10, "Category"),
              Terms("managementEvent", 2, "Management"), width=48, height=9),
        events("events", "All events", LIST),
    ),
)  # fmt: skip

WHO_BOARD = Board(
    "who",
    "OpenTrail: who",
    "People, roles and services: what they call, and from where.",
    (
        controls(),
        pie("types", "Kinds of callers", Terms("userIdentity.type", 10, "Kind"), width=12),
        over_time("types-time", "Kinds of callers over time",
                  Terms("userIdentity.type", 8, "Kind"), width=36),
        table("principals", "Principals", Terms(ARN, 50, "Principal"),
              metrics=(COUNT, different("eventName", "Different calls"), ADDRESSES, NEWEST),
              width=48, height=16),
        bars("users", "Users", Terms("userIdentity.userName", 15, "User")),
        bars("agents", "User agents", Terms("userAgent", 15, "User agent")),
        table("roles", "Assumed roles",
              Terms("userIdentity.sessionContext.sessionIssuer.arn", 20, "Role"),
              metrics=(COUNT, PRINCIPALS)),
        table("addresses", "Addresses and who came from them", ADDRESS, Terms(ARN, 5, "Principal")),
        table("invoked-by", "Services that call for somebody",
              Terms("userIdentity.invokedBy", 20, "Service"), SERVICE),
        pie("cross-account", "Caller's account, then the account called",
            Terms("userIdentity.accountId", 10, "Caller's account"),
            Terms("recipientAccountId", 10, "Account called"), width=24),
        events("events", "Events of people and roles", LIST,
               "userIdentity.arn:* and not userIdentity.invokedBy:*"),
    ),
)  # fmt: skip

CHANGED = "readOnly:false and not errorCode:*"
_IAM = "eventSource:iam.amazonaws.com"
NETWORK = any_of(
    "eventName", "*SecurityGroup*", "*NetworkAcl*", "*Route", "*RouteTable*", "*Gateway*", "*Vpc*"
)
BUCKETS = "eventSource:s3.amazonaws.com and " + any_of(
    "eventName", "*BucketPolicy", "*BucketAcl", "*BucketCors", "*BucketLifecycle*",
    "*BucketReplication", "*PublicAccessBlock",
)  # fmt: skip
KEYS = "eventSource:kms.amazonaws.com"
LOGGING = any_of("eventSource", "cloudtrail.amazonaws.com", "config.amazonaws.com")
INSTANCES = any_of(
    "eventName", "RunInstances", "StartInstances", "StopInstances", "RebootInstances",
    "TerminateInstances",
)  # fmt: skip

CHANGES = Board(
    "changes",
    "OpenTrail: changes",
    "Calls that changed something and did not fail.",
    (
        controls(),
        number("total", "Changes", COUNT, CHANGED, width=12),
        number("principals", "Principals who changed something", PRINCIPALS, CHANGED, width=12),
        number("newest", "Newest change", NEWEST, CHANGED, width=24),
        numbers("families", "What was changed", Filters((
            ("IAM", _IAM), ("Network", NETWORK), ("Bucket access", BUCKETS), ("Keys", KEYS),
            ("Trails and Config", LOGGING), ("Instances", INSTANCES),
        )), CHANGED),
        over_time("services-time", "Changes over time", SERVICE, CHANGED),
        bars("calls", "Calls", Terms("eventName", 20, "Call"), query=CHANGED, height=16),
        bars("verbs", "Verbs", Filters((
            ("Create", any_of("eventName", "Create*", "Run*")),
            ("Delete", any_of("eventName", "Delete*", "Terminate*")), ("Put", "eventName:Put*"),
            ("Update", any_of("eventName", "Update*", "Modify*")),
            ("Attach", any_of("eventName", "Attach*", "Detach*")),
        )), query=CHANGED, height=16),
        table("calls-who", "Who changed what", SERVICE, Terms("eventName", 10, "Call"),
              Terms(ARN, 5, "Principal"), metrics=(COUNT, NEWEST), query=CHANGED, width=36,
              height=18),
        table("regions", "Regions", Terms("awsRegion", 20, "Region"), query=CHANGED, width=12,
              height=18),
        events("events", "Changes, newest first",
               ("eventSource", "eventName", ARN, "requestParameters"), CHANGED),
    ),
)  # fmt: skip
