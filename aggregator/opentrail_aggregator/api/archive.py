"""The archive's objects over HTTP: list and get, as they are stored.

Names are BUCKET/KEY. Beside the bucket that events are delivered to there is no other yet. A key
for some accounts and regions sees their objects; the others are not there for it.
"""

import asyncio
import itertools

from aiohttp import web

from opentrail_aggregator.access.objects import covers_object
from opentrail_aggregator.api.access import CALLER
from opentrail_aggregator.api.answers import (
    NotFound,
    json_answer,
    number_parameter,
    text_parameter,
)
from opentrail_aggregator.archive.destination import Destination, NoSuchObjectError

PAGE_MAX = 1000


class ArchiveHandlers:
    """Reads the destination; writes nothing."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    async def list_objects(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/archive?prefix&after&limit`: in order of their keys."""
        limit = number_parameter(request, "limit", PAGE_MAX, PAGE_MAX)
        bucket = f"{self._destination.bucket}/"
        prefix = text_parameter(request, "prefix")
        if not (prefix.startswith(bucket) or bucket.startswith(prefix)):
            return json_answer({"objects": [], "after": None})
        keys = prefix.removeprefix(bucket) if prefix.startswith(bucket) else ""
        after = text_parameter(request, "after").removeprefix(bucket)

        scope = request[CALLER].scope

        def page() -> list[dict[str, object]]:
            listed = self._destination.list(keys, after)
            seen = (each for each in listed if covers_object(scope, each.key))
            found = itertools.islice(seen, limit)
            return [{"key": bucket + each.key, "size": each.stored_bytes} for each in found]

        objects = await asyncio.to_thread(page)
        more = objects[-1]["key"] if len(objects) == limit else None
        return json_answer({"objects": objects, "after": more})

    async def get_object(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/archive/BUCKET/KEY`: the bytes as stored, gzip and all."""
        bucket, key = request.match_info["bucket"], request.match_info["key"]
        try:
            is_seen = covers_object(request[CALLER].scope, key)
            if bucket != self._destination.bucket or not is_seen:
                raise NoSuchObjectError(bucket)
            content = await asyncio.to_thread(self._destination.read, key)
        except NoSuchObjectError:
            raise NotFound(f"{bucket}/{key[:300]}: there is no such object") from None
        # Not Content-Encoding: the object is the gzip file, and a client must not unpack it.
        return web.Response(body=content, content_type="application/gzip")
