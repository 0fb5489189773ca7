"""Every operation of CloudTrail: what it needs here, or why there is no such thing.

The tables are complete against AWS's model (a test compares), and docs/cloudtrail-api.md is made of
them. An unsupported operation answers UnsupportedOperationException with the reason given here.
"""

from typing import NamedTuple

from opentrail_aggregator.access.scope import Action


class Supported(NamedTuple):
    """What an operation needs and what is different from AWS."""

    action: Action
    note: str = ""
    read_only: bool = True


SUPPORTED: dict[str, Supported] = {
    "AddTags": Supported("operate", "Of trails and channels.", False),
    "CreateChannel": Supported(
        "operate",
        "Source `Custom` only. Destinations are kept and told back: every event goes to the "
        "history and the archive.",
        False,
    ),
    "CreateTrail": Supported(
        "operate",
        "The bucket is the archive's. No SNS, no CloudWatch Logs; KMS when the archive is S3.",
        False,
    ),
    "DeleteChannel": Supported("operate", read_only=False),
    "DeleteTrail": Supported(
        "operate", "What it owes is delivered. `default` cannot be deleted.", False
    ),
    "DescribeTrails": Supported("inspect"),
    "GetChannel": Supported("inspect"),
    "GetEventSelectors": Supported(
        "inspect", "`default` takes everything: told as one advanced selector for each category."
    ),
    "GetInsightSelectors": Supported("inspect", "As they were put: no engine computes Insights."),
    "GetTrail": Supported("inspect"),
    "GetTrailStatus": Supported("inspect", "Times are those of the archive's last delivery."),
    "ListChannels": Supported("inspect"),
    "ListPublicKeys": Supported("inspect"),
    "ListTags": Supported("inspect", "Of trails and channels."),
    "ListTrails": Supported("inspect"),
    "LookupEvents": Supported(
        "search",
        "Of all accounts of the key. Beyond AWS: several attributes are AND-ed; region `all`.",
    ),
    "PutAuditEvents": Supported(
        "write",
        "Durable before it is answered; a repeat is the same event. recipientAccountId is one of "
        "the key's accounts.",
        False,
    ),
    "PutEventSelectors": Supported(
        "operate", "What GetEventSelectors tells of `default` may be put back to it.", False
    ),
    "PutInsightSelectors": Supported(
        "operate",
        "Kept, and Insight events from elsewhere are delivered; none are computed here.",
        False,
    ),
    "RemoveTags": Supported("operate", "Of trails and channels.", False),
    "StartLogging": Supported("operate", read_only=False),
    "StopLogging": Supported(
        "operate", "Open parts are cut there, and the final digests written.", False
    ),
    "UpdateChannel": Supported("operate", read_only=False),
    "UpdateTrail": Supported("operate", "`default` is set by the configuration file.", False),
}

_EVENT_CONFIGURATION = "Data events are delivered as they are, not aggregated."
_LAKE = "There are no event data stores: search with `opentrail lookup` or its API."
_DASHBOARD = "There are no dashboards in this API."
_IMPORT = "There are no event data stores to import into: use `opentrail import`."
_POLICY = "There are no resource policies: access keys have roles, accounts and regions."
_DELEGATE = "There are no delegated administrators: give an access key the role admin."
_INSIGHTS = "Insights are not computed here."

UNSUPPORTED: dict[str, str] = {
    **dict.fromkeys(("PutEventConfiguration", "GetEventConfiguration"), _EVENT_CONFIGURATION),
    **dict.fromkeys(("ListInsightsData", "ListInsightsMetricData"), _INSIGHTS),
    **dict.fromkeys(
        (
            "CreateEventDataStore", "UpdateEventDataStore", "GetEventDataStore",
            "ListEventDataStores", "DeleteEventDataStore", "RestoreEventDataStore",
            "StartEventDataStoreIngestion", "StopEventDataStoreIngestion", "EnableFederation",
            "DisableFederation", "StartQuery", "DescribeQuery", "GetQueryResults", "ListQueries",
            "CancelQuery", "GenerateQuery", "SearchSampleQueries",
        ),
        _LAKE,
    ),
    **dict.fromkeys(
        ("StartImport", "GetImport", "StopImport", "ListImports", "ListImportFailures"), _IMPORT
    ),
    **dict.fromkeys(
        (
            "CreateDashboard", "UpdateDashboard", "GetDashboard", "DeleteDashboard",
            "ListDashboards", "StartDashboardRefresh",
        ),
        _DASHBOARD,
    ),
    **dict.fromkeys(
        ("PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy"), _POLICY
    ),
    **dict.fromkeys(
        ("RegisterOrganizationDelegatedAdmin", "DeregisterOrganizationDelegatedAdmin"), _DELEGATE
    ),
}  # fmt: skip
