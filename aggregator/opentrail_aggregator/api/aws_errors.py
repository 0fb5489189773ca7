"""Errors in the shapes that AWS's own clients understand, each service's its own.

    cloudtrail, cloudtrail-data, organizations   {"__type": CODE, "message": …}   JSON
    s3                                           <Error><Code>…                   XML
    sts                                          <ErrorResponse><Error>…          XML

A signature that cannot be believed has a name in each; what is refused for want of rights is
AccessDenied (JSON: AccessDeniedException).
"""

import uuid
from xml.sax.saxutils import escape

import orjson
from aiohttp import web

_JSON_NAMES = {
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidToken": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "RequestExpired": "InvalidSignatureException",
    "XAmzContentSHA256Mismatch": "InvalidSignatureException",
    "NotImplemented": "UnsupportedOperationException",
    "AccessDenied": "AccessDeniedException",
}
_S3_NAMES = {
    "MissingAuthenticationToken": "AccessDenied",
    "AccessDeniedException": "AccessDenied",
    "IncompleteSignature": "AuthorizationHeaderMalformed",
    "RequestExpired": "AccessDenied",
}
_BAD_REQUESTS = frozenset(
    ("IncompleteSignatureException", "AuthorizationHeaderMalformed", "XAmzContentSHA256Mismatch")
)


def aws_error(
    service: str, code: str, message: str, status: int | None = None, request_id: str = ""
) -> web.Response:
    """An error of `service`; without `status`, the one that AWS gives to refusals."""
    request_id = request_id or str(uuid.uuid4())
    if service == "s3":
        code = _S3_NAMES.get(code, code)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
            f"<RequestId>{request_id}</RequestId></Error>"
        )
        status = status or (501 if code == "NotImplemented" else _refused(code))
        return web.Response(
            body=body.encode("utf-8", "replace"),
            status=status,
            content_type="application/xml",
            headers={"x-amz-request-id": request_id},
        )
    if service == "sts":
        body = (
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            f"<Type>Sender</Type><Code>{escape(code)}</Code>"
            f"<Message>{escape(message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return web.Response(
            body=body.encode("utf-8", "replace"),
            status=status or _refused(code),
            content_type="text/xml",
            headers={"x-amzn-RequestId": request_id},
        )
    code = _JSON_NAMES.get(code, code)
    text = message.encode("utf-8", "replace").decode()
    return web.Response(
        body=orjson.dumps({"__type": code, "message": text, "Message": text}),
        status=status or _refused(code),
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-RequestId": request_id, "x-amzn-ErrorType": code},
    )


def _refused(code: str) -> int:
    return 400 if code in _BAD_REQUESTS else 403
