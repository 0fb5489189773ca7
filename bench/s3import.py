"""`opentrail-agent import s3://…` from the real S3 server on loopback, to the last acknowledgement.

The objects are put into the server's folder as files, which it serves as it serves what was put
through it. Durable is what the aggregator's log holds when the command has ended.
"""

import contextlib
import gzip
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.real.versitygw import S3Server, program
from tests.system.processes import COMMANDS, free_port

from bench.corpus import records
from bench.figures import Figure, Scale
from bench.machine import cpu_seconds, memory
from bench.ours import agent_config_of, events_in_log, with_certificates
from bench.weight import Running

NEWEST = 1_795_000_000


@dataclass(frozen=True, slots=True)
class Imported:
    events: int
    seconds: float
    cpu: float
    """Of the agent."""
    server_cpu: float
    pss: float


def run(scale: Scale) -> list[Figure]:
    share = min(1.0, scale.corpus_events / 1_000_000)
    many, large = max(300, int(10_000 * share)), max(20, int(1_000 * share))
    few = _measure(many, 20)
    rate = many / few.seconds
    note = f"{few.cpu:.1f} CPU-s of ours, {few.server_cpu:.1f} of the server"
    figures = [
        Figure(f"S3 import, {many:,} files of 20 records", f"{rate:,.0f} files/s", "150 files/s",
               rate >= 150, note),
    ]  # fmt: skip
    full = _measure(large, 2_000)
    rate = full.events / full.seconds
    note = f"{full.cpu:.1f} CPU-s of ours, {full.server_cpu:.1f} of the server"
    highest = max(few.pss, full.pss)
    return [
        *figures,
        Figure(f"S3 import, {large:,} files of 2,000 records", f"{rate:,.0f} events/s",
               "12,000 events/s", rate >= 12_000, note),
        Figure("S3 import, memory", f"{highest:.0f} MB", "150 MB", highest <= 150),
    ]  # fmt: skip


def _measure(files: int, each: int) -> Imported:
    directory = Path(tempfile.mkdtemp(prefix="opentrail-bench-"))
    try:
        with _server(directory / "s3") as server:
            bucket = server.make_bucket()
            _fill(directory / "s3" / "objects" / bucket, files, each)
            home = with_certificates(directory / "home")
            port = free_port()
            config = directory / "agent.yaml"
            config.write_text(agent_config_of(directory, home, port))
            with Running(home, port, "ingest"):
                before = events_in_log(home)
                server_before = cpu_seconds(server.pid)
                done = _import(server, config, bucket)
                server_cpu = cpu_seconds(server.pid) - server_before
            events = events_in_log(home) - before
            if events != files * each:
                raise RuntimeError(f"{events} of {files * each} events are in the log")
            return Imported(events, done[0], done[1], server_cpu, done[2])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[S3Server]:
    server = S3Server(program(), folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _fill(bucket: Path, files: int, each: int) -> None:
    folder = bucket / "AWSLogs" / "111122223333" / "CloudTrail" / "eu-west-1"
    made = records(files * each, NEWEST)
    for number in range(files):
        lines = [next(made) for _ in range(each)]
        path = folder / "2026" / "11" / f"{number * 28 // files + 1:02}" / f"{number:06}.json.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b'{"Records":[' + b",".join(lines) + b"]}", 6, mtime=0))


def _import(server: S3Server, config: Path, bucket: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds and the highest PSS of one import."""
    highest = [0.0]
    ended = threading.Event()
    started = time.monotonic()
    process = subprocess.Popen(
        [str(COMMANDS / "opentrail-agent"), "import", "--config", str(config), f"s3://{bucket}/"],
        env=os.environ | server.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def watch() -> None:
        while not ended.wait(0.25):
            with contextlib.suppress(OSError, KeyError):
                highest[0] = max(highest[0], memory(process.pid).pss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        ended.set()
        watching.join()
    if status != 0:
        raise RuntimeError(f"the import ended with status {status}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, highest[0]
