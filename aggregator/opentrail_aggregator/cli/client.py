"""Asks a running aggregator over HTTP, and finds out where it is.

Only the standard library, since a command should start at once. Errors of the server become
errors of ours: a wrong query is a `UsageError` whose text marks the place, anything else means that
there is no answer.
"""

import argparse
import contextlib
import http.client
import json
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from opentrail.errors import OpenTrailError, UsageError

DEFAULT_HOME = "./var"
TIMEOUT_SECONDS = 60.0
_STREAM_BYTES = 1 << 18


class NoAnswerError(OpenTrailError):
    """No server, or none that could answer."""


class NotFoundError(OpenTrailError):
    """The server knows nothing by that name."""


def home_of(options: argparse.Namespace) -> Path:
    """The aggregator's folder on this machine: --home, OPENTRAIL_HOME or ./var."""
    return Path(options.home or os.environ.get("OPENTRAIL_HOME") or DEFAULT_HOME)


def server_of(options: argparse.Namespace) -> "Server":
    """The server that `options` and the environment name."""
    url = options.url
    if not url and not options.home:
        url = os.environ.get("OPENTRAIL_URL")
    if url:
        return Server(url)
    return Server(str(endpoint_of(home_of(options))["url"]))


def endpoint_of(home: Path) -> dict[str, Any]:
    """What a running aggregator left in its home about where to ask it."""
    path = home / "run" / "endpoint.json"
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        if not found["url"] or not found["grpc"]:
            raise ValueError("it names no address")
        return found
    except FileNotFoundError:
        raise NoAnswerError(
            f"no aggregator was ever started in {path.parent.parent}: start one there with "
            "`opentrail up`, or name a running one with --url or --home"
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise NoAnswerError(
            f"{path}: cannot be read ({error}); name the server with --url"
        ) from None


class Server:
    """One aggregator's HTTP port."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url!r} is no address: write it as http://127.0.0.1:8470")
        self.url = parts.geturl().rstrip("/")
        self.timeout_seconds = TIMEOUT_SECONDS
        self._parts = parts

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer to a GET."""
        with self._asked("GET", path, parameters) as response:
            return self._json(response)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer to a POST."""
        with self._asked("POST", path, None, body or {}) as response:
            return self._json(response)

    def stream(self, path: str, parameters: Mapping[str, Any]) -> Iterator[bytes]:
        """The body of an answer in pieces, as they come.

        Raises NoAnswerError if the server breaks off before its end: a cut stream is no answer.
        """
        with self._asked("GET", path, parameters) as response:
            while True:
                try:
                    piece = response.read1(_STREAM_BYTES)
                except (http.client.HTTPException, OSError) as error:
                    raise NoAnswerError(
                        f"{self.url}: the answer broke off: {_text(error)}"
                    ) from error
                if not piece:
                    return
                yield piece

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        given = {key: value for key, value in (parameters or {}).items() if value is not None}
        target = self._parts.path.rstrip("/") + path
        if given:
            target += "?" + urllib.parse.urlencode(given)
        content = None if body is None else json.dumps(body).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        kind = (
            http.client.HTTPSConnection
            if self._parts.scheme == "https"
            else http.client.HTTPConnection
        )
        assert self._parts.hostname is not None
        connection = kind(self._parts.hostname, self._parts.port, timeout=self.timeout_seconds)
        try:
            try:
                connection.request(method, target, content, headers)
                response = connection.getresponse()
            except (http.client.HTTPException, OSError) as error:
                raise NoAnswerError(
                    f"{self.url}: no answer ({_text(error)}); is the aggregator running? "
                    "`opentrail up` starts one, --url or --home names another"
                ) from error
            if response.status >= 400:
                raise _error_of(response, self.url)
            with response:
                yield response
        finally:
            connection.close()

    def _json(self, response: http.client.HTTPResponse) -> Any:
        try:
            return json.loads(response.read())
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise NoAnswerError(f"{self.url}: the answer cannot be read: {_text(error)}") from error


def _error_of(response: http.client.HTTPResponse, url: str) -> OpenTrailError:
    try:
        error = json.loads(response.read())["error"]
        message = str(error["message"])
    except (http.client.HTTPException, OSError, ValueError, KeyError, TypeError):
        return NoAnswerError(f"{url}: answered {response.status} {response.reason}")
    if response.status == 400:
        return UsageError(with_caret(message, error.get("query"), error.get("place")))
    if response.status == 404:
        return NotFoundError(message)
    return NoAnswerError(f"{url}: {message}")


def with_caret(message: str, query: str | None, place: list[int] | None) -> str:
    """`message`, and below it the query with a mark under the place it speaks of."""
    if not query or not place:
        return message
    start, end = place[0], max(place[-1], place[0] + 1)
    # A line of the query at a time, or the mark would stand under something else.
    begin = query.rfind("\n", 0, start) + 1
    line = query[begin:].split("\n", 1)[0]
    column = start - begin
    marks = "^" * max(1, min(end - start, len(line) - column))
    return f"{message}\n  {line}\n  {' ' * column}{marks}"


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
