"""An HTTP proxy in front of an S3 server that spoils chosen requests, and counts what passed.

A fault is a function: it is told of each request and says what to do with it.

    None            pass it on and hand back the answer
    (503, CODE)     answer with that S3 error, and do not pass it on
    LOST            pass it on, then break the connection: the put succeeded, nobody was told
    SLOW            pass it on, and answer too late
"""

import http.client
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Self

LOST, SLOW = "lost", "slow"
SLOW_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came."""

    method: str
    path: str
    conditional: bool


Fault = Callable[[Asked], "tuple[int, str] | str | None"]
_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length"))


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    proxy: "FaultyS3"


class FaultyS3:
    """Start it with `with`; `endpoint` is where to send requests."""

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("http://")
        self.fault: Fault = lambda asked: None
        self.asked: list[Asked] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def times(self, count: int, fault: "tuple[int, str] | str", method: str = "PUT") -> None:
        """Spoil the next `count` requests of `method`, and no more."""
        left = [count]

        def spoil(asked: Asked) -> "tuple[int, str] | str | None":
            if asked.method != method or left[0] == 0:
                return None
            left[0] -= 1
            return fault

        self.fault = spoil


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said on standard error."""

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _forward(self) -> None:
        proxy = self.server.proxy
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.headers.__delitem__("Expect")
        body = self._body()
        asked = Asked(self.command, self.path, "if-none-match" in self.headers)
        proxy.asked.append(asked)
        verdict = proxy.fault(asked)
        if isinstance(verdict, tuple):
            self._error(*verdict)
            return
        far = http.client.HTTPConnection(proxy.target, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items()}
            far.request(self.command, self.path, body, headers)
            answer = far.getresponse()
            data = answer.read()
        finally:
            far.close()
        if verdict == LOST:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if verdict == SLOW:
            time.sleep(SLOW_SECONDS)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = answer.headers["Content-Length"] if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _error(self, status: int, code: str) -> None:
        data = b"" if self.command == "HEAD" else (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
            f"<Message>as the test wants it</Message></Error>"
        ).encode()  # fmt: skip
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
