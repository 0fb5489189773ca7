"""TLS of the HTTP port: TLS 1.3, or 1.2 with AEAD suites, with the pair that now lies in the files.

The files are looked at for each handshake. A pair that cannot be loaded (a renewal between its two
renames, a wrong file) leaves the one before in use, and is a problem until it can.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

from opentrail.errors import ConfigError


class HttpTls:
    """The certificate of one port."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        on_problem: Callable[[str], None],
        on_healed: Callable[[], None],
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._on_problem = on_problem
        self._on_healed = on_healed
        self._is_troubled = False
        try:
            self._seen = self._stamps()
            self._present = self._loaded()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"http.tls: {certificate} and {key} cannot be used: {error}; give a PEM "
                "certificate chain and the key that belongs to it"
            ) from error

    def context(self) -> ssl.SSLContext:
        """What the port is opened with; each handshake goes on with the present pair."""
        context = self._loaded()
        context.sni_callback = self._at_handshake
        return context

    def look(self) -> None:
        """Load the files if they changed; say so if they cannot be used as they are."""
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                self._heal()
                return
            self._present = self._loaded()
            self._seen = stamps
        except (OSError, ssl.SSLError) as error:
            self._is_troubled = True
            self._on_problem(
                f"http.tls: {self._certificate} and {self._key} cannot be used: {error}; the "
                "certificate loaded before stays in use"
            )
            return
        self._heal()

    def _heal(self) -> None:
        if self._is_troubled:
            self._is_troubled = False
            self._on_healed()

    def _at_handshake(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, first: ssl.SSLContext
    ) -> None:
        self.look()
        connection.context = self._present

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # Of TLS 1.2; 1.3 has only such.
        context.load_cert_chain(self._certificate, self._key)
        return context

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for path in (self._certificate, self._key):
            stat = path.stat()
            found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)
