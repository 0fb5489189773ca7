"""How a connection is made: certificates read afresh each time, and channel options with reasons.

Certificates are files that somebody renews; reading them at every connect is all that rotation
needs on this side. A key that does not belong to its certificate (a rotation half done) fails the
handshake, and the next try reads them again.
"""

from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from opentrail.errors import OpenTrailError
from opentrail.limits import BATCH_MAX_BYTES, MIB

KEEPALIVE_SECONDS = 10.0
KEEPALIVE_ANSWER_SECONDS = 7.0
"""A dead connection is noticed within the sum of both."""
assert KEEPALIVE_SECONDS + KEEPALIVE_ANSWER_SECONDS < 20


class CertificateError(OpenTrailError):
    """A certificate file is missing or unreadable."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What proves who this agent is, and who may answer it; no files at all means plain text."""

    ca: Path | None
    certificate: Path | None
    key: Path | None
    server_name: str = ""
    """The name the aggregator's certificate must carry, where it is not the address."""

    def read(self) -> grpc.ChannelCredentials | None:
        """Credentials from the files as they are now; None where there are none at all."""
        if self.ca is None and self.certificate is None and self.key is None:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=_content(self.ca, "ship.tls.ca"),
            private_key=_content(self.key, "ship.tls.key"),
            certificate_chain=_content(self.certificate, "ship.tls.certificate"),
        )


def _content(path: Path | None, setting: str) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"{path}: {error.strerror}; set {setting} to a readable file"
        ) from error
    if b"-----BEGIN" not in content:
        raise CertificateError(f"{path}: not a PEM file; set {setting} to one")
    return content


def channel_options(server_name: str = "") -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [
        ("grpc.keepalive_time_ms", int(KEEPALIVE_SECONDS * 1000)),
        ("grpc.keepalive_timeout_ms", int(KEEPALIVE_ANSWER_SECONDS * 1000)),
        # Without this an unanswered ping is waited for a minute, whatever the line above says.
        ("grpc.http2.ping_timeout_ms", int(KEEPALIVE_ANSWER_SECONDS * 1000)),
        # Pings also while nothing is sent: an idle stream must notice a dead peer too.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_send_message_length", BATCH_MAX_BYTES + MIB),
        ("grpc.max_receive_message_length", MIB),
        # Retries are the shipper's, who knows what was acknowledged.
        ("grpc.enable_retries", 0),
        # A shared pool would remember another channel's failures and wait on its own.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return options


def dial(address: str, certificates: Certificates) -> grpc.aio.Channel:
    """A channel to `address`; nothing is sent before the first call on it."""
    credentials = certificates.read()
    options = channel_options(certificates.server_name)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)
