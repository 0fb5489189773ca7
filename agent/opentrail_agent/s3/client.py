"""Clients of boto3, and what their errors mean to a reader.

boto3 is imported when the first client is made: only those who read S3 need it. Credentials are
looked for as the AWS tools do: environment, profile, web identity, instance role. botocore tries a
request again by itself; what still fails is told apart here by code and status, never by English.
"""

import importlib
from typing import Any

from opentrail.errors import ConfigError, OpenTrailError

from .settings import S3ClientSettings

_TRIES = 5
_GONE = frozenset(("NoSuchKey", "NotFound", "404"))
_HELD = {
    "NoSuchBucket": "there is no such bucket: correct the URL, or the endpoint",
    "ExpiredToken": "the credentials have expired: renew them; they are read again",
    "ExpiredTokenException": "the credentials have expired: renew them; they are read again",
    "InvalidToken": "the session token is not valid: renew the credentials",
    "RequestTimeTooSkewed": "set this machine's clock: it differs from the server's",
    "InvalidAccessKeyId": "the server does not know this access key",
    "XAdminUserNotFound": "the server does not know this access key",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "PermanentRedirect": "the bucket is in another region: give it",
    "AuthorizationHeaderMalformed": "the bucket is in another region: give it",
    "AWS.SimpleQueueService.NonExistentQueue": "there is no such queue: correct its URL",
    "QueueDoesNotExist": "there is no such queue: correct its URL",
}
_NO_CREDENTIALS = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
    "ProfileNotFound", "TokenRetrievalError", "UnauthorizedSSOTokenError",
)  # fmt: skip


class S3Error(OpenTrailError):
    """A request that failed for good, or for now."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """gone (no such object), denied, archived (restore it first), held (someone has to do
        something first), away (the server; it may work soon)."""


def make_client(settings: S3ClientSettings, service: str = "s3", endpoint: str = "") -> Any:
    """A client, safe from several threads; ConfigError if boto3 is not installed."""
    try:
        boto3 = importlib.import_module("boto3")
        config = importlib.import_module("botocore.config")
        exceptions = importlib.import_module("botocore.exceptions")
    except ImportError as error:
        raise ConfigError("reading S3 needs boto3; install opentrail[s3]") from error
    try:
        return boto3.Session(profile_name=settings.profile or None).client(
            service,
            endpoint_url=(settings.endpoint if service == "s3" else endpoint) or None,
            region_name=settings.region or None,
            config=config.Config(
                signature_version="s3v4" if service == "s3" else None,
                retries={"total_max_attempts": _TRIES, "mode": "standard"},
                connect_timeout=min(settings.timeout, 10),
                read_timeout=settings.timeout,
                max_pool_connections=settings.workers + 4,
                s3={"addressing_style": "path" if settings.path_style else "auto"},
            ),
        )
    except exceptions.BotoCoreError as error:
        raise ConfigError(f"{service}: {error}") from error


def as_s3_error(error: Exception, what: str) -> S3Error:
    """What botocore raised, in our terms."""
    if isinstance(error, S3Error):
        return error
    response: Any = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _HELD:
        return S3Error("held", f"{what}: {error}; {_HELD[code]}")
    if type(error).__name__ in _NO_CREDENTIALS:
        return S3Error("held", f"{what}: {error}; give credentials where the AWS tools look")
    if code in _GONE:
        return S3Error("gone", f"{what}: there is no such object (any more)")
    if code == "InvalidObjectState":
        return S3Error("archived", f"{what}: lies in Glacier; restore it, then import it")
    if status == 403 or code == "AccessDenied":
        advice = "allow s3:GetObject and s3:ListBucket (and kms:Decrypt on its key)"
        return S3Error("denied", f"{what}: {error}; {advice}")
    return S3Error("away", f"{what}: {error}")
