"""A Dashboards as far as importing goes, with its traps: it cannot be had from a registry.

What it does is what its source says (docs/dashboards.md names the traps): an answer of 200 that
wrote nothing, private tenants, and a workspace's own address.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


class DashboardsServer:
    """Serves on loopback until `stop`."""

    def __init__(self, base: str = "") -> None:
        self.stored: dict[tuple[str, str, str, str], Json] = {}
        """By tenant, workspace, type and id."""
        self.settings: Json = {}
        self.writes_nothing = False
        """Says yes to everything and keeps nothing."""
        self.refuses: tuple[int, Any] | None = None
        self.has_index = True
        self.imports = 0
        self._base = base
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{base}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, place: tuple[str, str], lines: list[Json], *, overwrite: bool) -> Json:
        there = {(each["type"], each["id"]) for each in lines}
        errors, blocked = [], False
        for each in lines:
            named = {"type": each["type"], "id": each["id"], "title": "", "meta": {}}
            missing = [
                {"type": r["type"], "id": r["id"]} for r in each["references"]
                if r["type"] in ("index-pattern", "search") and (r["type"], r["id"]) not in there
                and (*place, r["type"], r["id"]) not in self.stored
            ]  # fmt: skip
            if missing:
                kind = {"type": "missing_references", "references": missing}
                errors.append({**named, "error": kind})
                blocked = True
            elif not overwrite and (*place, each["type"], each["id"]) in self.stored:
                errors.append({**named, "error": {"type": "conflict"}})
                blocked = True
        if not blocked and not self.writes_nothing:
            for each in lines:
                self.stored[(*place, each["type"], each["id"])] = each
        good = [{"type": e["type"], "id": e["id"]} for e in lines]
        found: Json = {"success": not errors, "successCount": len(good), "successResults": good}
        return {**found, "errors": errors} if errors else found

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                path = parts.path
                if not path.startswith(server._base):
                    self._say(404, {"statusCode": 404, "message": "Not Found"})
                    return
                path, workspace = path.removeprefix(server._base), ""
                if path.startswith("/w/"):
                    _, _, workspace, path = path.split("/", 3)
                    path = "/" + path
                if self.command == "POST" and "osd-xsrf" not in self.headers:
                    self._say(400, {"message": "Request must contain a osd-xsrf header."})
                    return
                if server.refuses:
                    self._say(*server.refuses)
                    return
                place = (self.headers.get("securitytenant", "private"), workspace)
                self._route(path, parse_qs(parts.query), body, place)

            def _route(
                self, path: str, query: dict[str, list[str]], body: bytes, place: tuple[str, str]
            ) -> None:
                if path == "/api/saved_objects/_import":
                    server.imports += 1
                    lines = self._file(body)
                    if lines is not None:
                        overwrite = query.get("overwrite") == ["true"]
                        self._say(200, server.take(place, lines, overwrite=overwrite))
                elif path == "/api/saved_objects/_bulk_get":
                    found = []
                    for each in json.loads(body):
                        held = server.stored.get((*place, each["type"], each["id"]))
                        found.append(held or {**each, "error": {"statusCode": 404}})
                    self._say(200, {"saved_objects": found})
                elif path == "/api/index_patterns/_fields_for_wildcard":
                    fields = [{"name": "eventTime", "type": "date"}]
                    answer = (200, {"fields": fields}) if server.has_index else (404, {})
                    self._say(*answer)
                elif path == "/api/opensearch-dashboards/settings":
                    if self.command == "POST":
                        for name, value in json.loads(body)["changes"].items():
                            server.settings[name] = {"userValue": value}
                    self._say(200, {"settings": server.settings})
                else:
                    self._say(404, {"statusCode": 404, "message": "Not Found"})

            def _file(self, body: bytes) -> list[Json] | None:
                boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
                head, _, data = body.split(b"--" + boundary)[1].partition(b"\r\n\r\n")
                if b'name="file"' not in head or b'.ndjson"' not in head:
                    self._say(400, {"message": "Invalid file extension"})
                    return None
                lines = data.removesuffix(b"\r\n").split(b"\n")
                return [json.loads(line) for line in lines if line.strip()]

            def _say(self, status: int, body: Any) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        return Handler
