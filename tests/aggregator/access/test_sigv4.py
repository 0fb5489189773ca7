"""A request is believed exactly if botocore, which knows the secret, signed it as it arrived."""

import dataclasses
import datetime
import urllib.parse
from collections.abc import Callable

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from opentrail_aggregator.access.sigv4 import Request, SignatureError, is_signed, verify

KEY, SECRET = "OTAKEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = "127.0.0.1:8470"


def now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()


def secret_of(key_id: str) -> str | None:
    return SECRET if key_id == KEY else None


def signed(
    method: str = "POST",
    path: str = "/",
    body: bytes = b"{}",
    *,
    service: str = "cloudtrail",
    region: str = "eu-west-1",
    secret: str = SECRET,
    key: str = KEY,
    token: str | None = None,
    presigned: bool = False,
    headers: dict[str, str] | None = None,
) -> Request:
    """A request as botocore signs it and as it arrives here."""
    request = AWSRequest(
        method=method, url=f"http://{HOST}{path}", data=body, headers=headers or {}
    )
    credentials = Credentials(key, secret, token)
    if service == "s3":
        auth = (S3SigV4QueryAuth if presigned else S3SigV4Auth)(credentials, service, region)
    else:
        auth = (SigV4QueryAuth if presigned else SigV4Auth)(credentials, service, region)
    auth.add_auth(request)
    prepared = request.prepare()
    sent = {"Host": HOST} | {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    parts = urllib.parse.urlsplit(prepared.url)
    return Request(method, parts.path, parts.query, tuple(sent.items()), body)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/PutAuditEvents?channelArn=arn%3Aaws%3Acloudtrail%3Aeu%3A1%3Achannel%2Fx&externalId=a%20b",
        "/2015/functions/a%3Ab/x?b=2&a=1&a=0&empty=",
        "/a/./b/../c/",
        "/?x=%C3%A9&y=~-_.",
        "/?q=a+b",
    ],
)
@pytest.mark.parametrize("presigned", [False, True])
def test_what_botocore_signed_is_believed(path: str, presigned: bool) -> None:
    request = signed("GET", path, b"", presigned=True) if presigned else signed("POST", path, b"{}")
    credential = verify(request, secret_of, now())
    assert (credential.key_id, credential.region, credential.service) == (
        KEY,
        "eu-west-1",
        "cloudtrail",
    )


@pytest.mark.parametrize(
    "path",
    [
        "/opentrail?list-type=2&prefix=AWSLogs%2F&delimiter=%2F",
        "/opentrail/AWSLogs/1/CloudTrail/a%20b/%C3%A9%27%28x%29.json.gz",
        "/opentrail//double//../dots",
        "/opentrail/plus%2Bsign",
    ],
)
@pytest.mark.parametrize("presigned", [False, True])
def test_s3_paths_are_signed_as_they_are(path: str, presigned: bool) -> None:
    request = signed("GET", path, b"", service="s3", presigned=presigned)
    assert verify(request, secret_of, now()).service == "s3"


def test_a_header_with_inner_spaces_is_signed_as_one() -> None:
    request = signed(headers={"X-Amz-Target": "a    b", "Content-Type": "application/json"})
    assert verify(request, secret_of, now()).key_id == KEY


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: dataclasses.replace(r, method="PUT"),
        lambda r: dataclasses.replace(r, path="/other"),
        lambda r: dataclasses.replace(r, query="a=1"),
        lambda r: dataclasses.replace(r, body=b"{ }"),
        lambda r: dataclasses.replace(
            r, headers=tuple((n, "evil" if n == "Host" else v) for n, v in r.headers)
        ),
        lambda r: dataclasses.replace(r, headers=(*r.headers, ("X-Amz-Target", "evil"))),
        lambda r: dataclasses.replace(
            r, headers=tuple((n, v) for n, v in r.headers if n != "Host")
        ),
    ],
)
def test_a_request_changed_on_its_way_is_not_believed(spoil: Callable[[Request], Request]) -> None:
    with pytest.raises(SignatureError) as caught:
        verify(spoil(signed()), secret_of, now())
    assert caught.value.code == "SignatureDoesNotMatch"


def test_the_wrong_secret_and_an_unknown_key_are_not_believed() -> None:
    with pytest.raises(SignatureError) as caught:
        verify(signed(secret="other"), secret_of, now())
    assert caught.value.code == "SignatureDoesNotMatch"
    with pytest.raises(SignatureError) as caught:
        verify(signed(key="OTAKNOBODY"), secret_of, now())
    assert caught.value.code == "InvalidClientTokenId"


@pytest.mark.parametrize(
    ("ago", "believed"), [(299, True), (301, False), (-299, True), (-301, False)]
)
def test_a_signature_lives_five_minutes_either_way(ago: float, believed: bool) -> None:
    at = now()
    request = signed()
    if believed:
        verify(request, secret_of, at + ago - 1 if ago > 0 else at + ago + 1)
    else:
        with pytest.raises(SignatureError, match="set the clock"):
            verify(request, secret_of, at + ago + (2 if ago > 0 else -2))


def test_a_presigned_request_lives_as_long_as_it_says() -> None:
    request = signed("GET", "/opentrail/key", b"", service="s3", presigned=True)
    verify(request, secret_of, now() + 3590)
    with pytest.raises(SignatureError) as caught:
        verify(request, secret_of, now() + 3610)
    assert caught.value.code == "RequestExpired"


@pytest.mark.parametrize("name", ["X-Amz-Signature", "X-Amz-Expires", "X-Amz-Date"])
def test_a_presigned_request_says_each_thing_once(name: str) -> None:
    request = signed("GET", "/opentrail/key", b"", service="s3", presigned=True)
    said = dict(urllib.parse.parse_qsl(request.query))[name]
    twice = dataclasses.replace(request, query=f"{name}={said}&{request.query}")
    with pytest.raises(SignatureError, match=f"'{name}' twice"):
        verify(twice, secret_of, now())


def test_a_session_token_is_refused_with_advice() -> None:
    for presigned in (False, True):
        with pytest.raises(SignatureError) as caught:
            verify(signed(token="t", presigned=presigned), secret_of, now())
        assert caught.value.code == "InvalidToken"


def test_a_chunked_body_is_refused() -> None:
    request = signed("PUT", "/opentrail/key", b"", service="s3")
    headers = tuple(
        (n, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if n == "X-Amz-Content-SHA256" else v)
        for n, v in request.headers
    )
    with pytest.raises(SignatureError) as caught:
        verify(dataclasses.replace(request, headers=headers), secret_of, now())
    assert caught.value.code == "NotImplemented"


def test_an_unsigned_request_is_told_that_it_is() -> None:
    plain = Request("POST", "/", "", (("Host", HOST),), b"{}")
    assert not is_signed(plain)
    assert is_signed(signed())
    with pytest.raises(SignatureError) as caught:
        verify(plain, secret_of, now())
    assert caught.value.code == "MissingAuthenticationToken"


VECTOR_HEADERS = (
    ("Host", "example.amazonaws.com"),
    ("X-Amz-Date", "20150830T123600Z"),
    (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
)


def test_the_published_vector_get_vanilla_is_believed() -> None:
    request = Request("GET", "/", "", VECTOR_HEADERS)
    credential = verify(request, lambda _: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1440938160.0)
    assert credential.scope == "20150830/us-east-1/service/aws4_request"


@given(st.text(max_size=120), st.text(max_size=60))
def test_hostile_headers_meet_only_a_signature_error(authorization: str, query: str) -> None:
    for prefix in ("", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 Credential="):
        request = Request(
            "GET",
            "/",
            f"X-Amz-Algorithm={query}",
            (("Host", HOST), ("Authorization", prefix + authorization), ("X-Amz-Date", query)),
        )
        with pytest.raises(SignatureError):
            verify(request, secret_of, now())
