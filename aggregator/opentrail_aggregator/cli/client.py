"""Asks a running aggregator over HTTP, signed, and finds out where it is.

Every request is signed (AWS SigV4, service `opentrail`) with the key in OPENTRAIL_KEY_FILE, else
with the home's own, HOME/keys/local.json. A secret never travels and is in no message.

Only the standard library, since a command should start at once. Errors of the server become
errors of ours: a wrong query is a `UsageError` whose text marks the place, anything else means that
there is no answer.
"""

import argparse
import contextlib
import http.client
import json
import os
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opentrail.clock import Clock, SystemClock
from opentrail.errors import OpenTrailError, UsageError
from opentrail_aggregator.access.key_file import LOCAL_NAME, VARIABLE, KeyPair, read_key_file
from opentrail_aggregator.access.sigv4 import Request, sign
from opentrail_aggregator.version import VERSION

DEFAULT_HOME = "./var"
TIMEOUT_SECONDS = 60.0
_STREAM_BYTES = 1 << 18
_SERVICE, _REGION = "opentrail", "us-east-1"


class NoAnswerError(OpenTrailError):
    """No server, or none that could answer."""


class DeniedError(OpenTrailError):
    """The server answers, but not this key."""


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
    home = home_of(options)
    if url:
        address_in(url)  # A wrong one is said before a missing key.
        return Server(url, key_of(home))
    return server_at(home)


def server_at(home: Path) -> "Server":
    """The server that was started last in `home`, asked with the home's key."""
    endpoint = endpoint_of(home)
    certificate = endpoint.get("certificate")
    return Server(str(endpoint["url"]), key_of(home), Path(certificate) if certificate else None)


def key_of(home: Path) -> KeyPair:
    """What to sign with: the key in OPENTRAIL_KEY_FILE, else that of `home`."""
    named = os.environ.get(VARIABLE)
    return read_key_file(Path(named) if named else home / "keys" / LOCAL_NAME)


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


def address_in(url: str) -> urllib.parse.SplitResult:
    """Scheme, host and port of `url`; raises UsageError."""
    parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is no address: write it as http://127.0.0.1:8470")
    return parts


class Server:
    """One aggregator's HTTP port."""

    def __init__(
        self,
        url: str,
        key: KeyPair,
        certificate: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`certificate`: the very one that the server has to show; else its name and authority
        are checked as usual (SSL_CERT_FILE names authorities of one's own)."""
        parts = address_in(url)
        self.url = parts.geturl().rstrip("/")
        self.timeout_seconds = TIMEOUT_SECONDS
        self._parts = parts
        self._key = key
        self._certificate = certificate
        self._clock = clock or SystemClock()

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
        connection = self._connection()
        headers = self._headers(method, target, content)
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

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname, self._parts.port
        assert host is not None
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self.timeout_seconds)
        if self._certificate is None:
            return http.client.HTTPSConnection(host, port, timeout=self.timeout_seconds)
        pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        pinned.check_hostname = False  # It is that certificate, whatever it is called.
        pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            pinned.load_verify_locations(self._certificate)
        except (OSError, ssl.SSLError) as error:
            raise NoAnswerError(f"{self._certificate}: no certificate: {error}") from error
        return http.client.HTTPSConnection(host, port, timeout=self.timeout_seconds, context=pinned)

    def _headers(self, method: str, target: str, content: bytes | None) -> dict[str, str]:
        """What goes along, signed."""
        now = datetime.fromtimestamp(self._clock.now_ns() // 1_000_000_000, UTC)
        headers = {
            "Host": self._parts.netloc.rpartition("@")[2],
            "X-Amz-Date": now.strftime("%Y%m%dT%H%M%SZ"),
            "User-Agent": f"opentrail/{VERSION}",
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        path, _, query = target.partition("?")
        request = Request(method, path, query, tuple(headers.items()), content or b"")
        headers["Authorization"] = sign(
            request, self._key.id, self._key.secret, service=_SERVICE, region=_REGION,
            amz_date=headers["X-Amz-Date"],
        )  # fmt: skip
        return headers

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
    if response.status in (401, 403):
        return DeniedError(f"{url}: {message}")
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
