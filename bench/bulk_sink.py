"""Takes `_bulk` bodies, counts them and forgets them: what a pair costs without a server.

python -m bench.bulk_sink        prints its port; GET /taken says how many documents came
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ITEM = b'{"create":{"status":201}}'


class Sink(ThreadingHTTPServer):
    daemon_threads = True
    taken = 0
    lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "_bulk" not in self.path:
            self._say(200, b"{}")
            return
        # Some senders leave an empty line between documents.
        documents = body.count(b'\n{"') + body.startswith(b'{"')
        documents //= 2
        with self.server.lock:
            self.server.taken += documents
        self._say(200, b'{"errors":false,"items":[' + b",".join([ITEM] * documents) + b"]}")

    def do_GET(self) -> None:
        if self.path == "/taken":
            self._say(200, json.dumps(self.server.taken).encode())
        elif "_template" in self.path or "_resolve" in self.path:
            self._say(404, b"{}")
        else:
            self._say(200, b"{}")

    def do_HEAD(self) -> None:
        self._say(200, b"")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._say(200, b'{"acknowledged":true}')

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return None


def main() -> None:
    server = Sink(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
