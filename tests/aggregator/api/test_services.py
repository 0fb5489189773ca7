"""Who answers is decided by the service of a signature before any path, in that service's words."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from opentrail.clock import SystemClock
from opentrail_aggregator.access.keys import AccessKey, KeyStore
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.access.sigv4 import Credential
from opentrail_aggregator.api.access import KeyAccess
from opentrail_aggregator.api.aws_errors import aws_error
from opentrail_aggregator.api.own_events import OwnEvents
from opentrail_aggregator.api.own_record import OwnRecords
from opentrail_aggregator.api.services import by_service
from opentrail_aggregator.metrics import Metrics
from tests.aggregator.api.serving import Log, serving, url_of
from tests.aggregator.api.signing import ask


async def answers(home: Path, path: str, service: str, *, wrong: bool = False) -> tuple[int, bytes]:
    """What an application answers whose only service is `s3`, and whose only path is /api/x."""

    async def s3(
        request: web.Request, key: AccessKey, credential: Credential
    ) -> web.StreamResponse:
        if request.path == "/boom":
            raise ZeroDivisionError("a secret of the implementation")
        return web.Response(text=f"s3 for {key.role} in {credential.region}")

    async def path_answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="by path")

    clock, log = SystemClock(), Log()
    store, metrics = KeyStore(home, clock), Metrics("api", clock)
    key, secret = store.create("reader", Scope())
    own = OwnEvents(log.submit, OwnRecords("0" * 12, "us-east-1", clock), clock, metrics)
    access = KeyAccess(store, clock)
    application = web.Application(middlewares=[by_service({"s3": s3}, access, own, metrics)])
    application.router.add_route("GET", "/api/x", path_answer)
    async with TestServer(application) as server:
        url = str(server.make_url(path))
        found = await ask(url, key.id, "x" * 40 if wrong else secret, service=service)
    own.close()
    counted = {label for name, label in metrics._values if name == "opentrail_api_requests_total"}
    assert all(dict(label)["path"] in ("aws:s3", "aws:other") for label in counted)
    return found


async def test_the_service_goes_before_the_path(tmp_path: Path) -> None:
    assert await answers(tmp_path, "/api/x", "opentrail") == (200, b"by path")
    # S3 wants its own header; without it the signature is not complete, and no path answers.
    status, body = await answers(tmp_path, "/api/x", "s3")
    assert status == 400
    assert b"x-amz-content-sha256" in body


async def test_a_service_that_is_not_there_is_named_and_nothing_is_invented(
    tmp_path: Path,
) -> None:
    status, body = await answers(tmp_path, "/", "iam")
    assert status == 400
    assert json.loads(body)["__type"] == "UnsupportedOperationException"


async def test_a_wrong_secret_is_refused_before_any_service(tmp_path: Path) -> None:
    status, body = await answers(tmp_path, "/", "cloudtrail", wrong=True)
    assert (status, json.loads(body)["__type"]) == (403, "InvalidSignatureException")


@pytest.mark.parametrize("service", ["s3", "sts", "cloudtrail", "organizations"])
def test_each_service_has_errors_of_its_own_shape(service: str) -> None:
    answer = aws_error(service, "AccessDenied", "may not <b> & \ud800")
    assert answer.status == 403
    assert isinstance(answer.body, bytes)
    if service in ("s3", "sts"):
        assert "AccessDenied" in [each.text for each in ElementTree.fromstring(answer.body).iter()]
    else:
        assert json.loads(answer.body)["__type"] == "AccessDeniedException"


async def test_clients_of_aws_without_a_signature_get_an_error_they_can_read(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (client, _), aiohttp.ClientSession() as nobody:
        s3 = await nobody.get(url_of(client) + "/opentrail/key")
        assert s3.status == 403
        assert b"<Code>AccessDenied</Code>" in await s3.read()
        target = {"X-Amz-Target": "CloudTrail_20131101.DescribeTrails"}
        api = await nobody.post(url_of(client) + "/", headers=target)
        assert (await api.json(content_type=None))[
            "__type"
        ] == "MissingAuthenticationTokenException"
