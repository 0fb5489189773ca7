"""Asking an aggregator for a certificate, over HTTPS, and believing the right one only.

    1. GET the authority's certificates, believing nobody: nothing secret is sent
    2. compare them with the fingerprint in the token; another one ends it here
    3. POST the token and the request over a connection that this authority answers for

Plain HTTP is for an aggregator on this very host. Where the HTTP port has a certificate of another
authority (a proxy's, a public one), `https_ca` names it; the token's fingerprint still decides whom
the agent believes from then on.
"""

import http.client
import ipaddress
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from opentrail.certificate import certificates_in, fingerprint_of
from opentrail.errors import OpenTrailError, UsageError
from opentrail_agent.enrolment.token import JoinToken

TIMEOUT_SECONDS = 30.0
ANSWER_MAX_BYTES = 256 * 1024


class EnrolmentError(OpenTrailError):
    """The aggregator gave no certificate."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What the aggregator gave."""

    certificate: str
    authority: str
    addresses: list[str]
    is_granted: bool


def enrol(url: str, token: JoinToken, name: str, request: str, *, https_ca: str = "") -> Enrolled:
    """Spend one use of `token`; EnrolmentError says what to do."""
    parts = _checked(url)
    unproved = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unproved.check_hostname = False
    unproved.verify_mode = ssl.CERT_NONE
    first = _context(https_ca) if https_ca else unproved
    authority = str(_ask(parts, first, "GET", f"/enrol/authority/{token.id}")["authority"])
    if token.fingerprint not in (fingerprint_of(each) for each in certificates_in(authority)):
        raise EnrolmentError(
            f"{url}: answers under another authority than the one that made this token "
            f"(expected {token.fingerprint[:16]}…): is this the right aggregator? nothing was sent"
        )
    proved = first if https_ca else ssl.create_default_context(cadata=authority)
    body = {"token": token.text, "name": name, "request": request}
    answer = _ask(parts, proved, "POST", "/enrol", body)
    addresses = [str(each) for each in answer["addresses"]]
    if not addresses:
        host = parts.hostname or ""
        addresses = [f"[{host}]:{answer['port']}" if ":" in host else f"{host}:{answer['port']}"]
    return Enrolled(
        str(answer["certificate"]), str(answer["authority"]), addresses, bool(answer["granted"])
    )


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is no address; write it as https://aggregator.example:8470")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise UsageError(
            f"{url}: a join token is a secret and plain HTTP can be read on its way: write https, "
            "and give the aggregator http.tls"
        )
    return parts


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(https_ca: str) -> ssl.SSLContext:
    if https_ca == "system":
        return ssl.create_default_context()
    if not Path(https_ca).is_file():
        raise UsageError(f"--https-ca {https_ca}: there is no such file; or write `system`")
    return ssl.create_default_context(cafile=https_ca)


def _ask(
    parts: SplitResult, context: ssl.SSLContext, method: str, path: str, body: object = None
) -> dict[str, Any]:
    host, where = parts.hostname or "", parts.geturl()
    port = parts.port or (8470 if parts.scheme == "http" else 443)
    connection: http.client.HTTPConnection
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    else:
        connection = http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_SECONDS, context=context
        )
    try:
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        answer = response.read(ANSWER_MAX_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise EnrolmentError(
            f"{where}: its certificate is not of the authority in the token "
            f"({error.verify_message}): give `ca init` this name with --host, or name the "
            "authority of its HTTP port with --https-ca FILE (or `system`)"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise EnrolmentError(
            f"{where}: cannot be asked ({error}): is the aggregator running, its http.listen "
            "reachable from here, and the port right?"
        ) from None
    finally:
        connection.close()
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise EnrolmentError(f"{where}: is this an OpenTrail aggregator? it sent no JSON") from None
    if response.status != 200:
        said = found.get("error", {}).get("message", "") if isinstance(found, dict) else ""
        raise EnrolmentError(f"{where}: refused with {response.status}: {str(said)[:500]}")
    return found
