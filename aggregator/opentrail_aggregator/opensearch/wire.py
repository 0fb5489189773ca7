"""HTTP to OpenSearch: ready-made bytes out, status and bytes back, one connection per thread.

Certificates, passwords and tokens are files; each request looks at their time and size and takes a
changed one up, so a rotation needs no restart. Nothing here judges an answer: `classify` does.
"""

import base64
import contextlib
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from opentrail.errors import ConfigError, OpenTrailError
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.opensearch.signing import Signer

ANSWER_MAX_BYTES = 512 << 20
JSON = "application/json"
NDJSON = "application/x-ndjson"


class ConnectionLostError(OpenTrailError):
    """No answer came: nobody knows whether the request was done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The decoded body; None when it is not JSON (401 is text, 413 is empty)."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


class Wire:
    """Requests to one cluster, from any thread."""

    def __init__(self, settings: OpenSearchSettings) -> None:
        self._settings = settings
        parts = urlsplit(settings.url)
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_tls else 80)
        self._path = parts.path.rstrip("/")
        self._local = threading.local()
        self._connections: set[http.client.HTTPConnection] = set()
        self._signer: Signer | None = None
        self._files = tuple(
            each
            for each in (settings.authority, settings.password_file, settings.header_file)
            if each is not None
        )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str = JSON,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request. ConnectionLostError if no whole answer comes."""
        seen = self._seen()
        connection = self._connection(seen)
        connection.timeout = timeout or self._settings.timeout
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        sent = {"Content-Type": content_type, **self._local.headers, **(headers or {})}
        if self._settings.aws_region:
            sent = self._signed(method, path, body, sent)
        try:
            connection.request(method, self._path + path, body, sent)
            answer = connection.getresponse()
            data = answer.read(ANSWER_MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionLostError(
                f"{self._settings.url}: {method} {path.partition('?')[0]}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if answer.will_close:
            self.close()
        return Answer(answer.status, data)

    def _signed(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        if self._signer is None:
            self._signer = Signer(self._settings.aws_region, self._settings.aws_service)
        parts = urlsplit(self._settings.url)
        url = f"{parts.scheme}://{parts.netloc}{self._path}{path}"
        return self._signer.headers(method, url, body, {**headers, "Host": parts.netloc})

    def close(self) -> None:
        """Let this thread's connection go."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None
            self._connections.discard(connection)

    def abort(self) -> None:
        """End what every thread is waiting for; they get ConnectionLostError."""
        for connection in list(self._connections):
            if (open_socket := connection.sock) is not None:
                with contextlib.suppress(OSError):  # It may just have ended by itself.
                    open_socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close every thread's connection; nobody is asking any more."""
        while self._connections:
            self._connections.pop().close()

    def _connection(self, seen: "tuple[Any, ...]") -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.seen == seen:
            return connection
        self.close()
        self._local.headers = self._headers()
        self._local.seen = seen
        if self._is_tls:
            connection = http.client.HTTPSConnection(
                self._host, self._port, context=self._context()
            )
        else:
            connection = _Plain(self._host, self._port)
        self._local.connection = connection
        self._connections.add(connection)
        return connection

    def _context(self) -> ssl.SSLContext:
        authority = self._settings.authority
        try:
            return ssl.create_default_context(cafile=None if authority is None else str(authority))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"opensearch.authority: {authority}: {error}") from error

    def _headers(self) -> Mapping[str, str]:
        settings = self._settings
        if settings.header_file is not None:
            return {"Authorization": _read(settings.header_file, "opensearch.header_file")}
        if settings.password_file is not None:
            password = _read(settings.password_file, "opensearch.password_file")
            pair = f"{settings.user}:{password}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        return {}

    def _seen(self) -> "tuple[Any, ...]":
        found = []
        for path in self._files:
            try:
                stat = os.stat(path)
            except OSError as error:
                raise ConfigError(f"opensearch: {path}: {error.strerror}") from error
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return tuple(found)


class _Plain(http.client.HTTPConnection):
    """Small requests leave at once."""

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _read(path: Path, name: str) -> str:
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{name}: {path}: {error.strerror}") from error
    if not text or "\n" in text:
        raise ConfigError(f"{name}: {path}: one line is expected")
    return text
