"""What it costs to have it: the agent's memory and idle CPU, and a start with much waiting."""

import gzip
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.system.processes import COMMANDS, Installation, free_port, wait_for
from tests.system.stranger import Stranger, batch

from bench.corpus import records, write_corpus
from bench.figures import Figure, Scale
from bench.latency import agent_pids, installed
from bench.machine import Memory, cpu_seconds, family_memory, memory
from bench.paced import Lines
from bench.peer_builds import CACHE
from bench.shipping import ship_flat_out

RECORDS_BYTES = 50_000_000


def agent_memory(scale: Scale) -> list[Figure]:
    """The highest PSS while it follows a backlog, then while it reads one 50 MB line from gzip."""
    corpus = write_corpus(CACHE / f"corpus-{scale.corpus_events}.jsonl", scale.corpus_events,
                          int(time.time()))  # fmt: skip
    with installed("@/load.json*", "@/trail.json.gz") as installation:
        folder = installation.home.parent
        shutil.copy(corpus, folder / "load.json")
        follows = peak(
            lambda: agent_total(installation),
            lambda: received(installation) >= scale.corpus_events,
        )
        lines = list(records(RECORDS_BYTES // 1270, int(time.time()), seed=2))
        packed = gzip.compress(b'{"Records":[' + b",".join(lines) + b"]}", 1)
        (folder / "working").write_bytes(packed)
        (folder / "working").rename(folder / "trail.json.gz")
        unpacks = peak(
            lambda: agent_total(installation),
            lambda: received(installation) >= scale.corpus_events + len(lines),
        )
    return [
        Figure("agent's memory following a backlog, PSS", f"{follows.pss:.0f} MB", "<= 80 MB",
               follows.pss <= 80, f"{scale.corpus_events:,} events"),
        Figure("agent's memory on a 50 MB single-line .gz, PSS", f"{unpacks.pss:.0f} MB",
               "<= 80 MB", unpacks.pss <= 80),
    ]  # fmt: skip


def agent_total(installation: Installation) -> Memory:
    return sum((memory(pid) for pid in agent_pids(installation)), Memory())


def received(installation: Installation) -> int:
    return int(installation.status(check=False).get("received", 0))


def peak(look: Callable[[], Memory], done: Callable[[], bool]) -> Memory:
    """The highest PSS of one look each tenth of a second until `done`."""
    highest = Memory()
    stop = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.1):
            seen = look()
            if seen.pss > highest.pss:
                highest = seen

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        wait_for("all received", done, 600, 0.5)
    finally:
        stop.set()
        thread.join()
    return highest


def idle(scale: Scale) -> list[Figure]:
    found = []
    for files, bound in ((1, 0.5), (1000, 2.0)):
        share = idle_share(files, scale.paced_seconds)
        name = "one file" if files == 1 else f"{files:,} idle files"
        found.append(
            Figure(f"idle agent, {name}", f"{share:.2f} % of a core", f"<= {bound} %",
                   share <= bound, f"over {scale.paced_seconds:.0f} s")
        )  # fmt: skip
    return found


def idle_share(files: int, seconds: float) -> float:
    """Percent of a core that an agent uses with `files` files in which nothing happens."""
    with installed("@/idle-*.json") as installation:
        line = Lines(1).make(0, 1)
        for number in range(files):
            path = installation.home.parent / f"idle-{number}.json"
            path.write_bytes(line.replace(b"000000000000", b"%012x" % number))
        wait_for("all read", lambda: received(installation) >= files, 120, 0.5)
        time.sleep(5)
        pids = agent_pids(installation)
        before, started = sum(map(cpu_seconds, pids)), time.monotonic()
        time.sleep(seconds)
        return 100 * (sum(map(cpu_seconds, pids)) - before) / (time.monotonic() - started)


def start(scale: Scale) -> list[Figure]:
    """A log that nobody has read yet; how long until ingest takes the next batch."""
    directory = Path(tempfile.mkdtemp(prefix="opentrail-bench-"))
    try:
        with_certificates = Installation(directory)
        with_certificates.start()
        with_certificates.stop()
        home, port = with_certificates.home, free_port()
        payload = batch(Lines(4000).make(0, 800).splitlines())
        empty, _ = _start_ingest(home, port, "ingest,consolidate+archive,index,api")
        with Running(home, port, "ingest"), Stranger(home, f"127.0.0.1:{port}") as stranger:
            ship_flat_out(stranger, payload, scale.backlog_bytes // len(payload) + 1)
        size = sum(path.stat().st_size for path in (home / "log").rglob("*.seg"))
        full, grown = _start_ingest(home, port, "ingest,consolidate+archive,index,api")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return [
        Figure(
            f"start with a backlog of {size / 1e9:.1f} GB to accepting", f"{full:.2f} s",
            "<= 2 s", full <= 2, f"with an empty log {empty:.2f} s; memory of all aggregator "
            f"processes in the first 20 s {grown.anonymous:.0f} MB anonymous PSS",
        )
    ]  # fmt: skip


class Running:
    """`opentrail-aggregator run` for as long as the block lasts."""

    def __init__(self, home: Path, port: int, roles: str) -> None:
        command = [str(COMMANDS / "opentrail-aggregator"), "run", "--roles", roles]
        command += ["--set", f"home={home}", "--set", f"grpc.listen=127.0.0.1:{port}"]
        command += ["--set", f"http.listen=127.0.0.1:{free_port()}"]
        self.port = port
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> "Running":
        wait_for("ingest accepts", self.accepts, 60, 0.01)
        return self

    def accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(15)


def _start_ingest(home: Path, port: int, roles: str) -> tuple[float, Memory]:
    started = time.monotonic()
    highest = Memory()
    with Running(home, port, roles) as running, Stranger(home, f"127.0.0.1:{port}") as stranger:
        assert stranger.say_hello().kind == "welcome"
        took = time.monotonic() - started
        for _ in range(20):
            time.sleep(1)
            seen = family_memory(running.process.pid)
            highest = seen if seen.anonymous > highest.anonymous else highest
    return took, highest
