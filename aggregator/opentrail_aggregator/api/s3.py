"""The local archive as a read-only S3 bucket, for `aws s3`, boto3 and `validate-logs`.

    GET /                    ListBuckets            GET, HEAD /BUCKET/KEY     an object, or a range
    HEAD /BUCKET             HeadBucket             GET /BUCKET?list-type=2   ListObjectsV2
    GET /BUCKET?location     GetBucketLocation      GET /BUCKET               ListObjects
    anything that writes     AccessDenied

`services.py` has proved the key before. It needs the right to `inspect`, and sees the objects of
its accounts and regions; whether others exist it does not learn. Objects are streamed, whatever
their size; their metadata lies beside the bucket's folder.
"""

import asyncio
import base64
import binascii
import errno
import os
import re
import uuid
from email.utils import formatdate
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO
from urllib.parse import unquote

from aiohttp import web

from opentrail_aggregator.access.keys import AccessKey
from opentrail_aggregator.access.objects import covers_object
from opentrail_aggregator.access.sigv4 import Credential
from opentrail_aggregator.api.aws_errors import aws_error
from opentrail_aggregator.api.s3_listing import PAGE_MAX, Page, read_page
from opentrail_aggregator.api.s3_xml import Member, document, entity_tag, iso_time, url_encoded
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.local_directory import LocalDirectory

_PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_DENIED = "Access Denied"
_NO_OBJECT = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG))
"""A name that leads to no file, or to a link, which does not belong there."""


class _S3Error(Exception):
    """An answer that is an error of S3."""

    def __init__(self, code: str, message: str, status: int, size: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status
        self.size = size
        """Of the object, for a range that is not in it."""


class S3Service:
    """Answers what is signed for s3."""

    def __init__(self, destination: Destination, region: str) -> None:
        # A bucket elsewhere is asked for there.
        self._bucket = destination if isinstance(destination, LocalDirectory) else None
        self._region = region

    async def __call__(
        self, request: web.Request, key: AccessKey, credential: Credential
    ) -> web.StreamResponse:
        try:
            return await self._answer(request, key)
        except _S3Error as error:
            response = aws_error("s3", error.code, error.message, error.status)
            if error.size is not None:
                response.headers["Content-Range"] = f"bytes */{error.size}"
            return response

    async def _answer(self, request: web.Request, key: AccessKey) -> web.StreamResponse:
        if not key.may("inspect"):
            raise _S3Error("AccessDenied", _DENIED, 403)
        if request.method not in ("GET", "HEAD"):
            raise _S3Error("AccessDenied", "The archive is read-only.", 403)
        path = request.raw_path.partition("?")[0].removeprefix("/")
        name, _, raw_object = path.partition("/")
        if not name:
            return self._buckets()
        if self._bucket is None or unquote(name) != self._bucket.bucket:
            raise _S3Error("NoSuchBucket", "The specified bucket does not exist", 404)
        if raw_object:
            return await self._object(self._bucket, request, key, unquote(raw_object))
        if request.method == "HEAD":
            return self._xml(b"", {"x-amz-bucket-region": self._region})
        if "location" in request.query:
            # us-east-1 has no name here, as ever.
            region = "" if self._region == "us-east-1" else self._region
            return self._xml(
                document("LocationConstraint", []).replace(b"></", f">{region}</".encode())
            )
        if "versioning" in request.query:
            return self._xml(document("VersioningConfiguration", []))
        return await self._list(self._bucket, request, key)

    def _buckets(self) -> web.Response:
        buckets: list[Member] = []
        if self._bucket is not None:
            name = self._bucket.bucket
            created = iso_time(0)
            buckets = [("Bucket", [("Name", name), ("CreationDate", created)])]
        owner: list[Member] = [("ID", "opentrail"), ("DisplayName", "opentrail")]
        return self._xml(
            document("ListAllMyBucketsResult", [("Owner", owner), ("Buckets", buckets)])
        )

    # Listing.

    async def _list(
        self, bucket: LocalDirectory, request: web.Request, key: AccessKey
    ) -> web.Response:
        query = request.query
        known = {
            "list-type", "prefix", "delimiter", "marker", "start-after", "continuation-token",
            "max-keys", "encoding-type", "fetch-owner", "x-id",
        }  # fmt: skip
        other = [each for each in query if each not in known and not each.startswith("X-Amz-")]
        if other:
            raise _S3Error(
                "NotImplemented", f"'{other[0][:40]}' is not something this archive has.", 501
            )
        version = 2 if query.get("list-type") == "2" else 1
        most = _max_keys(query.get("max-keys", str(PAGE_MAX)))
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        token = query.get("continuation-token", "")
        if version == 2:
            after = _from_token(token) if token else query.get("start-after", "")
        else:
            after = query.get("marker", "")
        page = await asyncio.to_thread(
            read_page, bucket, key.scope, prefix, delimiter, after, min(most, PAGE_MAX)
        )
        encode = url_encoded if query.get("encoding-type") == "url" else str
        members: list[Member] = [
            ("Name", bucket.bucket),
            ("Prefix", encode(prefix)),
            ("MaxKeys", str(most)),
            ("IsTruncated", "true" if page.is_truncated else "false"),
        ]
        if delimiter:
            members.append(("Delimiter", encode(delimiter)))
        if "encoding-type" in query:
            members.append(("EncodingType", "url"))
        if version == 2:
            members.append(("KeyCount", str(page.size)))
            if token:
                members.append(("ContinuationToken", token))
            if query.get("start-after"):
                members.append(("StartAfter", encode(query["start-after"])))
            if page.is_truncated:
                members.append(("NextContinuationToken", _as_token(page.last)))
        else:
            members.append(("Marker", encode(after)))
            if page.is_truncated and delimiter:
                members.append(("NextMarker", encode(page.last)))
        members += await asyncio.to_thread(_contents, bucket, page)
        if encode is not str:
            members = [_encoded(each) for each in members]
        members += [("CommonPrefixes", [("Prefix", encode(each))]) for each in page.prefixes]
        return self._xml(document("ListBucketResult", members))

    # Objects.

    async def _object(
        self, bucket: LocalDirectory, request: web.Request, key: AccessKey, name: str
    ) -> web.StreamResponse:
        if not covers_object(key.scope, name):
            raise _S3Error("AccessDenied", _DENIED, 403)
        missing = _S3Error("NoSuchKey", "The specified key does not exist.", 404)
        try:
            path = bucket.path(name)
        except ValueError:
            raise missing from None
        opened = await asyncio.to_thread(_open, path)
        if opened is None:
            raise missing
        file, size, mtime_ns = opened
        with file:
            info = await asyncio.to_thread(bucket.head, name)
            if info is None:
                raise missing
            tag = entity_tag(name, size, mtime_ns)
            headers = {
                "ETag": tag,
                "Last-Modified": formatdate(mtime_ns // 1_000_000_000, usegmt=True),
                "Accept-Ranges": "bytes",
                "Content-Type": info.content_type,
                "Content-Encoding": info.content_encoding,
                "x-amz-request-id": _request_id(),
            }
            headers |= {f"x-amz-meta-{each}": info.metadata[each] for each in info.metadata}
            if request.headers.get("If-Match", tag) not in (tag, "*"):
                raise _S3Error("PreconditionFailed", "The object has another ETag.", 412)
            if request.headers.get("If-None-Match") in (tag, "*"):
                return web.Response(status=304, headers={"ETag": tag})
            part = _range(request.headers.get("Range", ""), size)
            first, last = part or (0, size - 1)
            if part is not None:
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            response = web.StreamResponse(status=206 if part else 200, headers=headers)
            response.content_length = last - first + 1
            await response.prepare(request)
            if request.method == "GET":
                await _send(file, first, last + 1, response)
            await response.write_eof()
            return response

    def _xml(self, body: bytes, more: dict[str, str] | None = None) -> web.Response:
        headers = {"x-amz-request-id": _request_id(), **(more or {})}
        return web.Response(body=body, content_type="application/xml", headers=headers)


async def _send(file: BinaryIO, start: int, end: int, response: web.StreamResponse) -> None:
    """The bytes from start to end, a piece in memory at a time."""
    while start < end:
        piece = await asyncio.to_thread(
            os.pread, file.fileno(), min(_PIECE_BYTES, end - start), start
        )
        if not piece:
            raise ConnectionResetError("the object was cut short while it was read")
        await response.write(piece)
        start += len(piece)


def _open(path: Path) -> tuple[BinaryIO, int, int] | None:
    """The file, its size and time; None if there is no such object."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _NO_OBJECT:
            return None
        raise
    stat = os.fstat(number)
    if not S_ISREG(stat.st_mode):
        os.close(number)
        return None
    return os.fdopen(number, "rb"), stat.st_size, stat.st_mtime_ns


def _contents(bucket: LocalDirectory, page: Page) -> list[Member]:
    found: list[Member] = []
    for each in page.objects:
        try:
            mtime_ns = bucket.path(each.key).stat().st_mtime_ns
        except FileNotFoundError:
            continue  # Removed by retention just now.
        found.append(
            (
                "Contents",
                [
                    ("Key", each.key),
                    ("LastModified", iso_time(mtime_ns)),
                    ("ETag", entity_tag(each.key, each.stored_bytes, mtime_ns)),
                    ("Size", str(each.stored_bytes)),
                    ("StorageClass", "STANDARD"),
                ],
            )
        )
    return found


def _encoded(member: Member) -> Member:
    name, value = member
    if name != "Contents" or not isinstance(value, list):
        return member
    return name, [(k, url_encoded(v) if k == "Key" and isinstance(v, str) else v) for k, v in value]


def _range(text: str, size: int) -> tuple[int, int] | None:
    """First and last byte; None where S3 ignores the header and gives all."""
    match = _RANGE.fullmatch(text)
    if match is None or match.groups() == ("", ""):
        return None
    if not match[1]:
        first, last = max(size - int(match[2]), 0), size - 1
        is_in = int(match[2]) > 0 and size > 0
    else:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        is_in = first < size and (not match[2] or int(match[2]) >= first)
    if not is_in:
        raise _S3Error("InvalidRange", "The requested range is not satisfiable", 416, size)
    return first, last


def _max_keys(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _S3Error("InvalidArgument", "max-keys is not a number from 0 on.", 400)
    return int(text)


def _as_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        raise _S3Error(
            "InvalidArgument", "The continuation token provided is incorrect", 400
        ) from None


def _request_id() -> str:
    return uuid.uuid4().hex[:16].upper()
