"""Ask the aggregator on this machine how it is, for probes that cannot reach its HTTP port.

    python -m opentrail_aggregator.probe live|ready HOME

The port may listen on loopback only, or speak TLS under a name that a prober does not know. This
asks where HOME/run/endpoint.json says, and ends with 0 if the answer is 200, else with 1 and a
line. It runs every few seconds, so it loads only what it needs. It does not judge: `/health/` does.
"""

import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
QUESTIONS = ("live", "ready")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if the answer is yes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 2 or given[0] not in QUESTIONS:
        print("usage: python -m opentrail_aggregator.probe live|ready HOME", file=sys.stderr)
        return 2
    path = Path(given[1]) / "run" / "endpoint.json"
    try:
        status = ask(str(json.loads(path.read_bytes())["url"]), f"/health/{given[0]}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{given[0]}: no answer from the address in {path}: {error}", file=sys.stderr)
        return 1
    if status != 200:
        print(f"{given[0]}: answered {status}; `opentrail status` says why", file=sys.stderr)
        return 1
    return 0


def ask(url: str, path: str) -> int:
    """The status code of a GET; raises OSError or ValueError without one."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    connection = socket.create_connection((host, port), TIMEOUT_SECONDS)
    if parts.scheme == "https":
        connection = _secured(connection)
    with connection, connection.makefile("rb") as answer:
        request = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode("ascii"))
        line = answer.readline(200).split()
    if len(line) < 2 or not line[0].startswith(b"HTTP/"):
        raise ValueError(f"what answers at {url} does not speak HTTP")
    return int(line[1])


def _secured(connection: socket.socket) -> socket.socket:
    import ssl  # Only here: it takes longer to load than everything else.

    # It is our own port: who answers there decides nothing, and nothing secret is sent.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


if __name__ == "__main__":
    sys.exit(main())
