"""From a signed call to its reply: which operation, may this key, is the input one, how often.

    cloudtrail        POST /, X-Amz-Target: [com.amazonaws.cloudtrail.v20131101.]CloudTrail_….X
    cloudtrail-data   POST /PutAuditEvents?channelArn=…&externalId=…, JSON
    organizations     POST /, X-Amz-Target: AWSOrganizationsV20161128.X
    sts               POST / or GET /?Action=X, a query string; XML

Answers carry the request's id. An error that is not one of AWS's is never told to a caller.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from opentrail.errors import OpenTrailError
from opentrail.logs import ids
from opentrail_aggregator.access.scope import Action
from opentrail_aggregator.api.answers import Unavailable
from opentrail_aggregator.cloudtrail.call import Call, Reply
from opentrail_aggregator.cloudtrail.errors import ApiError, unavailable
from opentrail_aggregator.cloudtrail.identity_calls import (
    caller_identity,
    describe_organization,
    sts_action,
)
from opentrail_aggregator.cloudtrail.lookup_events import ALL_REGIONS
from opentrail_aggregator.cloudtrail.model import check_input, operation
from opentrail_aggregator.cloudtrail.operations import SUPPORTED, UNSUPPORTED
from opentrail_aggregator.cloudtrail.throttle import Throttle

JSON = "application/x-amz-json-1.1"
TARGETS = ("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", "CloudTrail_20131101")
ORGANIZATIONS_TARGET = "AWSOrganizationsV20161128"
SERVICES = ("cloudtrail", "cloudtrail-data", "organizations", "sts")
DATA_PATH = "/PutAuditEvents"
_log = logging.getLogger(__name__)
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)

Answerer = Callable[[Call, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class _Named:
    """What became known of a call before it was answered."""

    operation: str = ""
    read_only: bool = True
    parameters: dict[str, Any] | None = None


class Service:
    """Answers calls of all four services; never raises ApiError."""

    def __init__(
        self,
        answerers: dict[str, Answerer],
        throttle: Throttle,
        account: str,
        organization_id: str,
    ) -> None:
        self._answerers = answerers
        self._throttle = throttle
        self._account = account
        self._organization_id = organization_id

    async def answer(self, call: Call) -> Reply:
        """What the caller gets."""
        named = _Named()
        try:
            # It becomes part of ARNs and of the names of files, and was written by a stranger.
            if _REGION.fullmatch(call.region) is None:
                raise ApiError("AccessDeniedException", "The signature names no region.")
            if call.service == "sts":
                body, content_type = self._sts(call, named), "text/xml"
            elif call.service == "organizations":
                body, content_type = self._organizations(call, named), JSON
            else:
                body, content_type = await self._cloudtrail(call, named), JSON
        except Unavailable as error:
            return self._failed(named, unavailable(str(error)))
        except OpenTrailError as error:
            _log.error(
                "request %s: %s", call.request_id, error, extra=ids(request_id=call.request_id)
            )
            return self._failed(named, unavailable("A store cannot be read; see the log."))
        except ApiError as error:
            return self._failed(named, error)
        if call.service == "cloudtrail-data":
            content_type = "application/json"
        return Reply(
            200, body, content_type, {"x-amzn-RequestId": call.request_id},
            operation=named.operation, read_only=named.read_only, parameters=named.parameters,
        )  # fmt: skip

    def _failed(self, named: _Named, error: ApiError) -> Reply:
        return Reply(
            error.status, b"", "", operation=named.operation, read_only=named.read_only,
            parameters=named.parameters, error_code=error.code, error_message=error.message,
        )  # fmt: skip

    async def _cloudtrail(self, call: Call, named: _Named) -> bytes:
        name = _data_operation(call) if call.service == "cloudtrail-data" else _target(call)
        known = SUPPORTED.get(name)
        if known is None:
            if name not in UNSUPPORTED:
                raise ApiError("UnknownOperationException", "There is no such operation.")
            named.operation, named.read_only = name, name.startswith(("Get", "List", "Describe"))
            self._throttle.take(call.key_id, name)
            raise ApiError("UnsupportedOperationException", UNSUPPORTED[name])
        named.operation, named.read_only = name, known.read_only
        self._throttle.take(call.key_id, name)
        _check_right(call, name, known.action)
        given = _body(call)
        if call.service == "cloudtrail-data" and type(given) is dict:
            given |= {each: call.query[each] for each in _IN_QUERY if each in call.query}
        check_input(operation(name), given)
        named.parameters = _told(given)
        return orjson.dumps(await self._answerers[name](call, given))

    def _organizations(self, call: Call, named: _Named) -> bytes:
        prefix, _, name = call.headers.get("x-amz-target", "").rpartition(".")
        if prefix != ORGANIZATIONS_TARGET or name != "DescribeOrganization":
            raise ApiError(
                "UnsupportedOperationException", "There is DescribeOrganization only here."
            )
        named.operation = name
        self._throttle.take(call.key_id, name)
        return orjson.dumps(describe_organization(self._organization_id, self._account))

    def _sts(self, call: Call, named: _Named) -> bytes:
        named.operation = sts_action(call)
        self._throttle.take(call.key_id, named.operation)
        return caller_identity(call, self._account)


_IN_QUERY = ("channelArn", "externalId")


def _target(call: Call) -> str:
    prefix, _, name = call.headers.get("x-amz-target", "").rpartition(".")
    if call.method != "POST" or call.path != "/" or prefix not in TARGETS:
        raise ApiError("UnknownOperationException", "The request names no operation of CloudTrail.")
    # PutAuditEvents is one of another service.
    return "" if name == "PutAuditEvents" else name


def _data_operation(call: Call) -> str:
    if call.method != "POST" or call.path != DATA_PATH:
        raise ApiError("UnknownOperationException", "There is POST /PutAuditEvents only.")
    return "PutAuditEvents"


def _check_right(call: Call, name: str, action: Action) -> None:
    if not call.may(action):
        raise ApiError(
            "AccessDeniedException",
            f"The access key {call.key_id} has the role {call.role}, which may not {name}.",
        )
    if call.region == ALL_REGIONS:
        if name == "LookupEvents":
            return
        raise ApiError("AccessDeniedException", "The region `all` is for LookupEvents only.")
    if not call.scope.covers_region(call.region):
        raise ApiError(
            "AccessDeniedException", f"The access key {call.key_id} is not for {call.region}."
        )


def _body(call: Call) -> Any:
    if not call.body:
        return {}
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise ApiError("SerializationException", "the body is not JSON") from error


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the history tells them: of events put, only their ids."""
    if "auditEvents" not in given:
        return given
    return {
        **given,
        "auditEvents": [{"id": each["id"]} for each in given["auditEvents"]],
    }
