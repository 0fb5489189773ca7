"""What AWS's tools ask beside CloudTrail: who am I (sts), and in which organization."""

import urllib.parse
from typing import Any
from xml.sax.saxutils import escape

from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.owner import acting_account
from opentrail_aggregator.trails.trail import partition_of_region

STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
STS_FIELDS_MAX = 100


def sts_action(call: Call) -> str:
    """The action a query-protocol request names; ApiError if it is not one that is here."""
    try:
        fields = dict(
            urllib.parse.parse_qsl(
                call.body.decode("ascii", "replace"),
                keep_blank_values=True,
                max_num_fields=STS_FIELDS_MAX,
            )
        )
    except ValueError as error:
        raise ApiError("MalformedQueryString", "The body is no query string.") from error
    action = fields.get("Action") or call.query.get("Action", "")
    if action != "GetCallerIdentity":
        raise ApiError(
            "InvalidAction",
            f"Could not find operation {action[:100]!r}; there is GetCallerIdentity only: access "
            "keys here are made with `opentrail keys create` and never assumed.",
        )
    return action


def caller_identity(call: Call, install_account: str) -> bytes:
    """The XML answer: a key is a user of the account it acts as."""
    account = acting_account(call.scope, install_account)
    arn = f"arn:{partition_of_region(call.region)}:iam::{account}:user/{call.key_id}"
    return (
        f'<GetCallerIdentityResponse xmlns="{STS_NAMESPACE}"><GetCallerIdentityResult>'
        f"<Arn>{escape(arn)}</Arn><UserId>{escape(call.key_id)}</UserId>"
        f"<Account>{account}</Account></GetCallerIdentityResult><ResponseMetadata>"
        f"<RequestId>{call.request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    ).encode()


def describe_organization(organization_id: str, account: str) -> dict[str, Any]:
    """The configured organization, whose management account is the install's."""
    if not organization_id:
        raise ApiError(
            "AWSOrganizationsNotInUseException",
            "Your account is not a member of an organization.",
        )
    root = f"arn:aws:organizations::{account}"
    return {
        "Organization": {
            "Id": organization_id,
            "Arn": f"{root}:organization/{organization_id}",
            "FeatureSet": "ALL",
            "MasterAccountId": account,
            "MasterAccountArn": f"{root}:account/{organization_id}/{account}",
            "MasterAccountEmail": f"{account}@opentrail.invalid",
            "AvailablePolicyTypes": [],
        }
    }
