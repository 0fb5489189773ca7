"""How answers and errors look on the HTTP port, whatever was asked.

    200  the answer, JSON unless the path says otherwise
    400  {"error": {"message", "query", "place": [from, to]}}   the question is wrong
    401  {"error": {"message", "code"}}    nobody known asks
    403  …  the caller may not     404  …  no such thing      503  …  cannot answer now
    504  …  it took too long

Nothing of a Python error reaches the caller except messages written for people.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from opentrail.errors import OpenTrailError, UsageError
from opentrail_aggregator.api.access import Denied
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.search.errors import QueryError, SearchTimeoutError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""What is counted when nobody waits for the answer any more."""


class NotFound(OpenTrailError):
    """There is nothing by that name."""


class Unavailable(OpenTrailError):
    """It cannot be answered now; later it may."""


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UsageError, 400),
    (NotFound, 404),
    (SearchTimeoutError, 504),
    (OpenTrailError, 503),
)
"""The first that fits; what is not listed is a fault of ours."""


def json_answer(body: object, status: int = 200) -> web.Response:
    """`body` as JSON."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def error_answer(error: Exception) -> web.Response:
    """What a caller is told of `error`."""
    status, described = describe(error)
    if status == 401:
        answer = json_answer({"error": described}, status)
        answer.headers["WWW-Authenticate"] = 'Basic realm="OpenTrail", charset="UTF-8"'
        return answer
    return json_answer({"error": described}, status)


def describe(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body for `error`."""
    if isinstance(error, QueryError):
        place = {"query": error.text, "place": [error.start, error.end]}
        return 400, {"message": str(error), **place}
    if isinstance(error, Denied):
        return error.status, {"message": str(error), "code": error.code}
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status, {"message": str(error)}
    return 500, {"message": "this is a fault of the aggregator; its log says more"}


def guarded(handler: Handler, path: str, metrics: Metrics) -> Handler:
    """`handler`, whose errors become answers and whose requests are counted under `path`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        status = CLIENT_GONE
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except ConnectionResetError:
            raise
        except Exception as error:
            response = error_answer(error)
            status = response.status
            if status == 500:
                _log.exception("%s %s", request.method, path)
            return response
        finally:
            metrics.increment("opentrail_api_requests_total", path=path, status=str(status))

    return answer


def text_parameter(request: web.Request, name: str, default: str = "") -> str:
    """A query parameter; the last of several is not silently preferred."""
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise UsageError(f"{name} is given {len(given)} times; give it once")
    return given[0] if given else default


def number_parameter(request: web.Request, name: str, default: int, most: int) -> int:
    """A query parameter that is a number from 1 to `most`."""
    text = text_parameter(request, name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) <= most:
        raise UsageError(f"{name}: {text[:40]!r} is not a number from 1 to {most}")
    return int(text)


async def json_body(request: web.Request) -> dict[str, Any]:
    """The JSON object in the request's body; an empty body is an empty object."""
    content = await request.read()
    if not content:
        return {}
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise UsageError("the body is not a JSON object")
    return body
