"""An OpenSearch that takes documents and fails on request: only to inject faults.

What it keeps and answers is as little as the sender needs; meaning and mapping are tested on the
real one. `faults` are taken one for each bulk request, in order; None is no fault:

    "drop"        no answer, nothing taken           "late"    taken, then no answer
    (status, body)   that answer to the whole request
    callable      item action -> (status, error) or None to take it
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = None | str | tuple[int, Any] | Callable[[str, bytes], tuple[int, Any] | None]


class BulkServer:
    """Serves on loopback until `stop`."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], bytes] = {}
        self.doubled = 0
        self.faults: deque[Fault] = deque()
        self.always: Fault = None
        """The fault of every request for which none is listed."""
        self.sizes: list[int] = []
        self.seen: list[dict[str, str]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: bytes, fault: Fault) -> list[dict[str, Any]]:
        lines = body.split(b"\n")
        assert lines[-1] == b""
        items = []
        for action, document in zip(lines[:-1:2], lines[1:-1:2], strict=True):
            named = json.loads(action)["create"]
            key = (named["_index"], named["_id"])
            refused = fault(named["_id"], document) if callable(fault) else None
            if refused is not None:
                items.append({"create": {"status": refused[0], "error": refused[1]}})
            elif key in self.documents:
                kind = "version_conflict_engine_exception"
                items.append({"create": {"status": 409, "error": {"type": kind, "reason": ""}}})
            else:
                self.documents[key] = document
                items.append({"create": {"status": 201}})
        return items

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._say(200, {})

            def do_PUT(self) -> None:
                self._read()
                self._say(200, {"acknowledged": True})

            def do_POST(self) -> None:
                body = self._read()
                if "_bulk" not in self.path:
                    self._mget(body) if "_mget" in self.path else self._say(200, {})
                    return
                with server._lock:
                    server.sizes.append(len(body))
                    server.seen.append(dict(self.headers.items()))
                    server.requests.append((self.path, dict(self.headers.items()), body))
                    fault = server.faults.popleft() if server.faults else server.always
                    if isinstance(fault, tuple):
                        self._say(*fault)
                        return
                    if fault == "drop":
                        self.close_connection = True
                        return
                    items = server.take(body, fault)
                    if fault == "late":
                        self.close_connection = True
                        return
                self._say(200, {"errors": True, "items": items})

            def _mget(self, body: bytes) -> None:
                found = []
                for each in json.loads(body)["docs"]:
                    held = server.documents.get((each["_index"], each["_id"]))
                    found.append({} if held is None else {"_source": json.loads(held)})
                self._say(200, {"docs": found})

            def _read(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def _say(self, status: int, body: Any) -> None:
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        return Handler
