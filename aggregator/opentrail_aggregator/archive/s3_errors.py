"""What an S3 error means for a delivery: by its code, else by its status, never by its English.

retry   it may work soon: the server is busy, the connection broke, bytes were damaged
hold    it will not work before someone does something; the message says what
"""

from typing import Any, NamedTuple

from opentrail_aggregator.archive.destination import DestinationError

TAKEN = frozenset(("PreconditionFailed", "412"))
"""The key exists (If-None-Match)."""
NOT_FOUND = frozenset(("NoSuchKey", "NotFound", "404"))
NOT_KNOWN = frozenset(("NotImplemented", "501"))
"""The server does not know a header."""


class Meaning(NamedTuple):
    """Reason for counters, whether to hold, and what to do."""

    reason: str
    holds: bool
    advice: str


_RETRY_SLOW = Meaning("slow_down", False, "the server asks for patience; tried again")
_RETRY_SERVER = Meaning("server", False, "the server failed; tried again")
_RETRY_CHECKSUM = Meaning("checksum", False, "bytes were damaged on the way; sent again")
_RETRY_CONFLICT = Meaning("conflict", False, "another request for the key was under way")
_CONNECTION = Meaning("connection", False, "the server cannot be reached; tried again")
_NO_BUCKET = Meaning("no_such_bucket", True, "make the bucket, or correct archive.bucket")
_EXPIRED = Meaning("expired_credentials", True, "renew the credentials; they are read again")
_CREDENTIALS = Meaning("no_credentials", True, "give credentials where the AWS tools look for them")
_CLOCK = Meaning("clock_skew", True, "set this machine's clock: it differs from the server's")
_DENIED = Meaning(
    "denied", True,
    "allow s3:PutObject (and s3:GetObject, s3:ListBucket) on the bucket for these credentials",
)  # fmt: skip
_REGION = Meaning("wrong_region", True, "correct archive.s3.region or archive.s3.endpoint")
_KMS = Meaning("kms", True, "look at the key in archive.s3.kms_key_id and who may use it")
_REFUSED = Meaning("refused", True, "the server refuses the request as it is")

_BY_CODE = {
    "SlowDown": _RETRY_SLOW,
    "Throttling": _RETRY_SLOW,
    "ThrottlingException": _RETRY_SLOW,
    "TooManyRequests": _RETRY_SLOW,
    "RequestLimitExceeded": _RETRY_SLOW,
    "ServiceUnavailable": _RETRY_SLOW,
    "InternalError": _RETRY_SERVER,
    "InternalFailure": _RETRY_SERVER,
    "RequestTimeout": _RETRY_SERVER,
    "OperationAborted": _RETRY_CONFLICT,
    "ConditionalRequestConflict": _RETRY_CONFLICT,
    "BadDigest": _RETRY_CHECKSUM,
    "XAmzContentChecksumMismatch": _RETRY_CHECKSUM,
    "XAmzContentSHA256Mismatch": _RETRY_CHECKSUM,
    "IncompleteBody": _RETRY_CHECKSUM,
    "NoSuchBucket": _NO_BUCKET,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "InvalidAccessKeyId": _DENIED,
    "SignatureDoesNotMatch": _DENIED,
    "XAdminUserNotFound": _DENIED,  # versitygw's word for a key it does not know.
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "KMS.DisabledException": _KMS,
    "KMS.NotFoundException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "InvalidArgument": _REFUSED,
}
_BY_STATUS = {403: _DENIED, 404: _NO_BUCKET, 408: _RETRY_SERVER, 429: _RETRY_SLOW, 503: _RETRY_SLOW}
_BY_CLASS = {
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "CredentialRetrievalError": _CREDENTIALS,
    "ProfileNotFound": _CREDENTIALS,
    "TokenRetrievalError": _EXPIRED,
    "UnauthorizedSSOTokenError": _EXPIRED,
    "NoRegionError": _REGION,
    "InvalidEndpointError": _REGION,
}
REFRESHES = frozenset(("expired_credentials", "no_credentials", "denied"))
"""Reasons after which credentials are read anew before the next try."""


def code_of(error: Exception) -> str:
    """The error code of a botocore ClientError, empty for others."""
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def status_of(error: Exception) -> int:
    """The HTTP status of a botocore ClientError, 0 for others."""
    response: Any = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def meaning_of(error: Exception) -> Meaning:
    """What to make of an error that botocore raised."""
    known = _BY_CODE.get(code_of(error)) or _BY_STATUS.get(status_of(error))
    if known is not None:
        return known
    if status_of(error) >= 500:
        return _RETRY_SERVER
    if status_of(error) >= 400:
        return _REFUSED
    return _BY_CLASS.get(type(error).__name__, _CONNECTION)


def as_destination_error(error: Exception, what: str) -> DestinationError:
    """The error in the archive's terms."""
    meaning = meaning_of(error)
    return DestinationError(
        meaning.reason, f"{what}: {error}; {meaning.advice}", holds=meaning.holds
    )
