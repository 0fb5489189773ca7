"""The archive in S3, or in any server that speaks it.

A put asks the server to refuse a key that is taken (If-None-Match); a look at the key before each
put makes it safe on servers that ignore the header, and tells a put that succeeded but whose answer
was lost. Retrying is the deliverer's business: botocore tries once.

boto3 is imported when the first client is made: only those who archive to S3 need it.
"""

import base64
import hashlib
import importlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import ConfigError
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.destination import (
    METADATA_BYTES,
    METADATA_SHA256,
    DestinationError,
    ForeignObjectError,
    Listed,
    NoSuchObjectError,
    ObjectInfo,
)
from opentrail_aggregator.archive.keys import check_bucket, check_key
from opentrail_aggregator.archive.local_directory import measure
from opentrail_aggregator.archive.s3_errors import (
    NOT_FOUND,
    NOT_KNOWN,
    REFRESHES,
    TAKEN,
    as_destination_error,
    code_of,
    meaning_of,
    status_of,
)
from opentrail_aggregator.archive.settings import S3Settings


class S3Destination:
    """A bucket; safe from several threads (a botocore client is)."""

    def __init__(
        self, bucket: str, settings: S3Settings, clock: Clock, files: Files = DISK
    ) -> None:
        check_bucket(bucket)
        self._bucket = bucket
        self._settings = settings
        self._clock = clock
        self._files = files
        self._conditional = settings.if_none_match
        self._made: Any = None
        self._lock = threading.Lock()

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def blocks(self) -> bool:
        return True

    def put_if_absent(self, key: str, staged: Path, info: ObjectInfo) -> bool:
        check_key(key)
        if self._is_ours(key, info, unreadable_is_absent=True):
            return False
        body = self._files.read(staged, 0, self._files.size(staged))
        try:
            self._put(key, body, info)
        except Exception as error:
            if code_of(error) in TAKEN or status_of(error) == 412:
                if self._is_ours(key, info, unreadable_is_absent=False):
                    return False
                raise DestinationError(
                    "conflict", f"{self._name(key)}: was there and is gone; tried again"
                ) from error
            raise self._translated(error, self._name(key)) from error
        return True

    def head(self, key: str) -> ObjectInfo | None:
        try:
            answer = self._client().head_object(Bucket=self._bucket, Key=key)
        except Exception as error:
            if code_of(error) in NOT_FOUND:
                return None
            raise self._translated(error, self._name(key)) from error
        metadata: dict[str, str] = answer.get("Metadata", {})
        sha256, size = metadata.get(METADATA_SHA256, ""), metadata.get(METADATA_BYTES, "0")
        stored = int(answer["ContentLength"])
        if not sha256:
            # Copied by a tool that dropped the metadata: only the object itself can tell.
            sha256, measured = measure(self.read(key))
            return ObjectInfo(sha256, measured, stored, metadata)
        return ObjectInfo(
            sha256, int(size), stored, metadata,
            answer.get("ContentType", ""), answer.get("ContentEncoding", ""),
        )  # fmt: skip

    def read(self, key: str) -> bytes:
        try:
            answer = self._client().get_object(Bucket=self._bucket, Key=key)
            data: bytes = answer["Body"].read()
        except Exception as error:
            if code_of(error) in NOT_FOUND:
                raise NoSuchObjectError(f"{self._name(key)}: there is no such object") from error
            raise self._translated(error, self._name(key)) from error
        return data

    def list(self, prefix: str = "", after: str = "") -> Iterator[Listed]:
        try:
            pages = (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self._bucket, Prefix=prefix, StartAfter=after)
            )
            for page in pages:
                for each in page.get("Contents", []):
                    yield Listed(each["Key"], int(each["Size"]))
        except Exception as error:
            raise self._translated(error, self._name(prefix)) from error

    def delete(self, key: str) -> None:
        try:
            self._client().delete_object(Bucket=self._bucket, Key=key)
        except Exception as error:
            if status_of(error) in (400, 403):
                # AWS and versitygw say 403 for a locked object, minio 400.
                raise DestinationError(
                    "locked", f"{self._name(key)}: is locked or may not be removed: {error}",
                    holds=True,
                ) from error  # fmt: skip
            raise self._translated(error, self._name(key)) from error

    def _put(self, key: str, body: bytes, info: ObjectInfo) -> None:
        arguments: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": key,
            "Body": body,
            "ContentType": info.content_type,
            "ContentEncoding": info.content_encoding,
            "Metadata": {
                **info.metadata, METADATA_SHA256: info.sha256, METADATA_BYTES: str(info.bytes)
            },
            # The server compares: damage on the way is refused and sent again.
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
            **self._options(info),
        }  # fmt: skip
        if self._conditional:
            try:
                self._client().put_object(IfNoneMatch="*", **arguments)
                return
            except Exception as error:
                if code_of(error) not in NOT_KNOWN and status_of(error) != 501:
                    raise
                self._conditional = False  # The look before each put has to do.
        self._client().put_object(**arguments)

    def _options(self, info: ObjectInfo) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "ServerSideEncryption": "aws:kms" if info.kms_key_id else settings.sse,
            "SSEKMSKeyId": info.kms_key_id or settings.kms_key_id,
            "ACL": settings.acl,
            "StorageClass": settings.storage_class,
            "ObjectLockMode": settings.lock_mode,
            "ObjectLockLegalHoldStatus": "ON" if settings.legal_hold else "",
        }
        if settings.lock_mode:
            now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
            options["ObjectLockRetainUntilDate"] = now + timedelta(days=settings.lock_days)
        return {name: value for name, value in options.items() if value}

    def _is_ours(self, key: str, info: ObjectInfo, *, unreadable_is_absent: bool) -> bool:
        """Whether the key holds our content; False if it is free, an error if it is another's."""
        try:
            found = self.head(key)
        except DestinationError as error:
            # Credentials that may only write cannot look; the condition of the put protects then.
            if error.reason == "denied" and unreadable_is_absent and self._conditional:
                return False
            raise
        if found is None:
            return False
        if found.sha256 != info.sha256:
            raise ForeignObjectError(self._name(key), info.sha256, found.sha256)
        return True

    def _translated(self, error: Exception, what: str) -> Exception:
        if isinstance(error, DestinationError | NoSuchObjectError | ConfigError):
            return error
        if meaning_of(error).reason in REFRESHES:
            with self._lock:
                self._made = None  # The next client reads credentials anew.
        return as_destination_error(error, what)

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = make_client(self._settings)
            return self._made


def make_client(settings: S3Settings) -> Any:
    """A boto3 client for the settings; ConfigError if boto3 is not installed."""
    try:
        boto3 = importlib.import_module("boto3")
        config = importlib.import_module("botocore.config")
    except ImportError as error:
        raise ConfigError(
            "archive.destination: s3 needs boto3; install opentrail[aggregator,s3]"
        ) from error
    session = boto3.Session(profile_name=settings.profile or None)
    return session.client(
        "s3",
        endpoint_url=settings.endpoint or None,
        region_name=settings.region or None,
        config=config.Config(
            signature_version="s3v4",
            retries={"total_max_attempts": 1},
            connect_timeout=min(settings.timeout, 10),
            read_timeout=settings.timeout,
            max_pool_connections=settings.workers + 2,
            s3={"addressing_style": "path" if settings.path_style else "auto"},
        ),
    )
