"""Requests as botocore, which is not ours, signs them."""

import datetime
from typing import Any

import aiohttp
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict
from yarl import URL


async def ask(
    url: str,
    key_id: str,
    secret: str,
    *,
    method: str = "GET",
    service: str = "opentrail",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    age: float = 0,
    presigned: bool = False,
    spoil: bool = False,
) -> tuple[int, bytes]:
    """Status and body of one signed request, `age` seconds old; `spoil` changes its query after."""
    request = AWSRequest(method=method, url=url, data=body, headers=headers or {})
    auth = (SigV4QueryAuth if presigned else SigV4Auth)(
        Credentials(key_id, secret), service, "eu-west-1"
    )
    auth.add_auth(request)
    if age:
        then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age)
        request = AWSRequest(method=method, url=url, data=body, headers=headers or {})
        request.context["timestamp"] = then.strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        canonical = auth.canonical_request(request)
        text = auth.string_to_sign(request, canonical)
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
            f"SignedHeaders={auth.signed_headers(auth.headers_to_sign(request))}, "
            f"Signature={auth.signature(text, request)}"
        )
    prepared = request.prepare()
    sent: CIMultiDict[str] = CIMultiDict(
        {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in prepared.headers.items()
        }
    )
    target = str(prepared.url) + (("&" if "?" in prepared.url else "?") + "x=1" if spoil else "")
    options: dict[str, Any] = {"headers": sent, "data": body or None}
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, URL(target, encoded=True), **options) as answer,
    ):
        return answer.status, await answer.read()
