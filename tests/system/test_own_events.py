"""Who asked what is found in the trail itself, and nobody without a key is answered."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from .oracle import equations, is_own
from .processes import Installation, wait_for

pytestmark = pytest.mark.long


def own(installation: Installation) -> list[dict[str, Any]]:
    lines = installation.lookup("eventSource:cloudtrail.amazonaws.com", "--limit", "1000")
    return [json.loads(line) for line in lines if is_own(line)]


def unsigned(installation: Installation, path: str) -> bytes:
    host, port = installation.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def test_every_question_and_refusal_is_found_and_outlives_a_kill(
    installation: Installation, tmp_path: Path
) -> None:
    installation.start()
    installation.run("lookup", "userIdentity.userName:alice")
    installation.run("count", "--by", "eventName")
    assert b"401" in unsigned(installation, "/api/events").split(b"\r\n")[0]
    assert b"eventName" not in unsigned(installation, "/api/status")
    for role in ("ingest", "api"):
        installation.find(role).kill()
    installation.wait_until_ready()
    wait_for("the port answers", lambda: installation.get("/health/live")[0] == 200, 30)

    def names() -> bool:
        found = [each["eventName"] for each in own(installation)]
        return {"SearchEvents", "CountEvents", "RefusedRequest"} <= set(found)

    wait_for("all are found", names, 30)
    found = own(installation)
    queries = [(each["requestParameters"] or {}).get("query") for each in found]
    assert queries.count("userIdentity.userName:alice") == 1
    refusals = [each for each in found if each["eventName"] == "RefusedRequest"]
    assert refusals[0]["errorCode"] == "MissingAuthenticationToken"
    assert len({each["eventID"] for each in found}) == len(found)
    status = installation.status()
    assert equations(status) == []
    secret = json.loads((installation.home / "keys" / "local.json").read_bytes())[
        "secret_access_key"
    ]
    for process in installation.processes():
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert secret.encode() not in environment + process.command.encode()
    assert secret not in installation.output.read_text()
    assert secret.encode() not in json.dumps(found).encode()
    assert secret.encode() not in installation.get("/metrics")[1]
