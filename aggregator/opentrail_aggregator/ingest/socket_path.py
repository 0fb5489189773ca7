"""The address of the control socket, however deep HOME lies.

A unix socket's path has 108 bytes at most. A longer one is named through an open directory,
/proc/self/fd/N/ingest.sock, which the kernel resolves when the socket is bound or dialled.
"""

import os
from pathlib import Path

SOCKET_NAME = "ingest.sock"
PATH_MAX_BYTES = 100


class SocketAddress:
    """The gRPC target of HOME/run/ingest.sock; keep it open while the target is used."""

    def __init__(self, run_directory: Path) -> None:
        self.path = run_directory / SOCKET_NAME
        self._fd = -1
        if len(os.fsencode(self.path)) <= PATH_MAX_BYTES:
            self.target = f"unix:{self.path}"
        else:
            self._fd = os.open(run_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.target = f"unix:/proc/self/fd/{self._fd}/{SOCKET_NAME}"

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
