"""The probe believes the status code of the port that the home names, and nothing else."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail_aggregator.pki import DevelopmentPki
from opentrail_aggregator.probe import main

ANSWERS = {"/health/live": 200, "/health/ready": 503}


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(ANSWERS[self.path])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    made = http.server.HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def home_with(path: Path, url: object) -> str:
    (path / "run").mkdir()
    (path / "run" / "endpoint.json").write_text(json.dumps({"url": url}))
    return str(path)


def test_it_says_what_the_port_says(
    server: http.server.HTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = home_with(tmp_path, f"http://127.0.0.1:{server.server_port}")
    assert main(["live", home]) == 0
    assert capsys.readouterr().err == ""
    assert main(["ready", home]) == 1
    assert "answered 503" in capsys.readouterr().err


def test_it_asks_over_tls_where_the_port_speaks_it(
    server: http.server.HTTPServer, tmp_path: Path
) -> None:
    made = DevelopmentPki(tmp_path / "pki", SystemClock()).server(["another.example"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    home = home_with(tmp_path, f"https://127.0.0.1:{server.server_port}")
    assert main(["live", home]) == 0


def test_no_answer_is_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", str(tmp_path)]) == 1
    assert "endpoint.json" in capsys.readouterr().err
    home = home_with(tmp_path, "http://127.0.0.1:1")
    assert main(["live", home]) == 1
    (tmp_path / "run" / "endpoint.json").write_text("half")
    assert main(["live", home]) == 1


@pytest.mark.parametrize("arguments", [[], ["live"], ["delivery", "home"]])
def test_a_wrong_call_says_how(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
