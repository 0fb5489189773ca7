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
    "CreateChannel": Supported(
        "operate",
        "Source `Custom` only. Destinations are kept and told back: every event goes to the "
        "history and the archive.",
        False,
    ),
    "DeleteChannel": Supported("operate", read_only=False),
    "DescribeTrails": Supported("inspect", "The install's trail `default`."),
    "GetChannel": Supported("inspect"),
    "GetEventSelectors": Supported(
        "inspect", "`default` takes everything: told as one advanced selector for each category."
    ),
    "GetInsightSelectors": Supported("inspect", "InsightNotEnabledException: there is no engine."),
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
    "UpdateChannel": Supported("operate", read_only=False),
}

_TRAIL = (
    "The trail `default` takes everything and is set by the configuration file; there are no other "
    "trails yet."
)
_LAKE = "There are no event data stores: search with `opentrail lookup` or its API."
_DASHBOARD = "There are no dashboards in this API."
_IMPORT = "There are no event data stores to import into: use `opentrail import`."
_POLICY = "There are no resource policies: access keys have roles, accounts and regions."
_DELEGATE = "There are no delegated administrators: give an access key the role admin."
_INSIGHTS = "Insights are not computed here."

UNSUPPORTED: dict[str, str] = {
    **dict.fromkeys(
        (
            "CreateTrail", "UpdateTrail", "DeleteTrail", "StartLogging", "StopLogging",
            "PutEventSelectors", "PutEventConfiguration", "GetEventConfiguration",
        ),
        _TRAIL,
    ),
    **dict.fromkeys(
        ("AddTags", "RemoveTags"), "Tags are given when a channel is made and do not change."
    ),
    **dict.fromkeys(
        ("PutInsightSelectors", "ListInsightsData", "ListInsightsMetricData"), _INSIGHTS
    ),
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
