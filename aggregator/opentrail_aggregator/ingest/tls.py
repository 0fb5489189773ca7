"""Mutual TLS: which certificate this server shows, and whom it believes.

The files are looked at again for each handshake, so a renewed certificate or authority counts from
the next connection on, without a restart. Certificate and key are two files: between the two
renames of a renewal they do not fit together; the pair that last did is kept until they do again.

TLS 1.3 is used with every client that can; below it gRPC's own list holds only ECDHE with AES-GCM.
"""

import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from opentrail.errors import ConfigError

AGENT_URI = "opentrail://agent/"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a server's credentials lie."""

    certificate: Path
    key: Path
    authority: Path


class ServerTls:
    """Credentials for a gRPC server, reloaded when the files change."""

    def __init__(
        self, files: TlsFiles, *, on_problem: Callable[[str], None], on_healed: Callable[[], None]
    ) -> None:
        self._files = files
        self._on_problem = on_problem
        self._on_healed = on_healed
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self._lock = threading.Lock()
        self._is_troubled = False
        self._fresh: grpc.ServerCertificateConfiguration | None = None
        """Loaded, and not handed to gRPC yet."""
        self._first = self._load()

    def credentials(self) -> grpc.ServerCredentials:
        """What a port is opened with; every handshake asks again."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self.renewed,  # type: ignore[arg-type]  # None is documented, and missing in the types.
            require_client_authentication=True,
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """The configuration from this handshake on; None if it is the one in use.

        Every configuration that is handed over rebuilds gRPC's handshaker under the handshakes that
        run: done each time, that crashed the process in a storm of connections (grpcio 1.85).
        """
        self.look()
        with self._lock:
            fresh, self._fresh = self._fresh, None
        return fresh

    def look(self) -> None:
        """Load the files if they changed; say so if they cannot be used as they are."""
        with self._lock:
            try:
                if self._stamps() != self._seen:
                    self._fresh = self._load()
            except (OSError, ConfigError) as error:
                self._is_troubled = True
                self._on_problem(f"{error}; the certificate loaded before stays in use")
                return
            if self._is_troubled:
                self._is_troubled = False
                self._on_healed()

    def _load(self) -> grpc.ServerCertificateConfiguration:
        stamps = self._stamps()
        certificate, key, authority = (
            path.read_bytes()
            for path in (self._files.certificate, self._files.key, self._files.authority)
        )
        _check_pair(self._files, certificate, key)
        self._seen = stamps
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=authority
        )

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        stats = [
            path.stat()
            for path in (self._files.certificate, self._files.key, self._files.authority)
        ]
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)


def certified_agents(
    auth_context: Mapping[str, Iterable[bytes]], prefixes: Iterable[str] = ()
) -> list[str]:
    """The agent names a client certificate speaks for: its URIs, else its DNS names.

    `prefixes` begin further URIs that name an agent; slashes in the rest become dots.
    """
    names = [
        bytes(value).decode("utf-8", "replace")
        for value in auth_context.get("x509_subject_alternative_name", ())
    ]
    uris = [
        name.removeprefix(prefix).replace("/", ".")
        for prefix in (AGENT_URI, *prefixes)
        for name in names
        if name.startswith(prefix)
    ]
    return uris or [name for name in names if "://" not in name]


def _check_pair(files: TlsFiles, certificate: bytes, key: bytes) -> None:
    """Raise ConfigError unless certificate and key belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL takes files only; copies, because the originals may change between two looks.
    with tempfile.TemporaryDirectory(prefix="opentrail-tls-") as directory:
        chain, secret = Path(directory, "chain.pem"), Path(directory, "key.pem")
        chain.write_bytes(certificate)
        secret.touch(mode=0o600)
        secret.write_bytes(key)
        try:
            context.load_cert_chain(chain, secret)
        except ssl.SSLError as error:
            raise ConfigError(
                f"{files.certificate} and {files.key} cannot be used together "
                f"({error.reason or error}); put a matching pair there"
            ) from error
