"""An ingest in a process of its own, to be killed: `python -m tests.aggregator.ingest.process`."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

from opentrail.limits import MIB
from opentrail.settings import Bytes, Seconds
from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.server import IngestServer
from opentrail_aggregator.ingest.settings import GrpcSettings
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.pki import DevelopmentPki
from opentrail_aggregator.wal.settings import LogSettings

from .agents import CLOCK, settings

ROOT = Path(__file__).resolve().parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class IngestProcess:
    """Started, killed and started again on the same port."""

    def __init__(self, home: Path, *, readers: str = "", segment_mib: int = 1) -> None:
        self.home = home
        self.port = free_port()
        self.deaths = 0
        self._readers = readers
        self._segment_mib = segment_mib
        self._process: subprocess.Popen[bytes] | None = None
        DevelopmentPki(home / "pki", CLOCK).server(["127.0.0.1"])

    def start(self, crash_at: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name if __spec__ else "", str(self.home),
             str(self.port), self._readers, str(self._segment_mib)],
            cwd=ROOT,
            env=os.environ | {"OPENTRAIL_CRASH_AT": crash_at},
        )  # fmt: skip

    def limit_files(self, size: int | None) -> None:
        """Let the kernel refuse whatever would make a file larger than `size`."""
        if size is not None:
            assert self._process is not None
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def is_dead(self) -> bool:
        """Whether it has died; each death is counted once."""
        assert self._process is not None
        if self._process.poll() is None:
            return False
        assert self._process.returncode == -signal.SIGKILL, self._process.returncode
        self.deaths += 1
        return True

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(15)

    def destroy(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


async def serve(home: Path, port: int, readers: tuple[str, ...], segment_mib: int) -> None:
    segment = segment_mib * MIB
    log = LogSettings(max_bytes=Bytes(64 * segment), segment_bytes=Bytes(segment), readers=readers)
    listen = GrpcSettings(listen=f"127.0.0.1:{port}", drain=Seconds(1))
    server = IngestServer(
        Home(home), settings(home, log=log, grpc=listen), CLOCK, Metrics("ingest", CLOCK)
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.run(stop)


if __name__ == "__main__":
    readers = tuple(filter(None, [sys.argv[3]]))
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), readers, int(sys.argv[4])))
