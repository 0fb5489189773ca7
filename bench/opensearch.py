"""Into OpenSearch: how fast, at what cost, how soon found, how large, beside peers and a loader.

Rates count documents on the server after a refresh. Our side is the whole way (agent, TLS, fsync,
once, log, archive); a peer alone follows the file and posts it, with no id and nothing kept.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from tests.real.opensearch import OpenSearchNode
from tests.real.opensearch_install import MissingToolError, install
from tests.system.processes import Installation, free_port

from bench import latency
from bench.corpus import write_corpus
from bench.figures import Figure, Scale
from bench.machine import cpu_seconds, family_cpu
from bench.opensearch_peers import PEERS, running
from bench.peer_builds import CACHE, PeerMissing
from bench.shipping import percentile
from opentrail.identity import event_key
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.retention import day_of
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.documents import Document
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.opensearch.template import index_of

EVENTS = {"full": 300_000, "quick": 60_000, "small": 3_000}
BODY_BYTES = 5 << 20
STALL_SECONDS = 60
ALL = "opentrail-events-*"


@dataclass(frozen=True, slots=True)
class Run:
    name: str
    events: int
    seconds: float
    cpu: float
    """Of what brings events to `_bulk`; of a pair, of its aggregator."""
    raw_bytes: int

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_per_gb(self) -> float:
        return self.cpu / (self.raw_bytes / 1e9)

    def __str__(self) -> str:
        return f"{self.name}: {self.rate:,.0f} events/s, {self.cpu_per_gb:.1f} CPU s/GB"


@contextlib.contextmanager
def real_node() -> Iterator[OpenSearchNode]:
    try:
        home, java = install()
    except MissingToolError as error:
        raise PeerMissing(f"no real OpenSearch: {error}") from error
    with workplace() as directory:
        node = OpenSearchNode(home, java, directory, heap_mb=1024)
        node.start()
        try:
            yield node
        finally:
            node.stop()


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="opentrail-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def corpus_of(scale: Scale) -> tuple[Path, int]:
    events = EVENTS[scale.name]
    # Of these days, or the retention would drop it.
    name = f"corpus-{events}-{int(time.time()) // (7 * 86400)}.jsonl"
    return write_corpus(CACHE / name, events, int(time.time())), events


def counted(node: OpenSearchNode) -> Callable[[], int]:
    def count() -> int:
        node.ask("POST", f"/{ALL}/_refresh?ignore_unavailable=true")
        status, found = node.ask("GET", f"/{ALL}/_count?ignore_unavailable=true")
        return int(found["count"]) if status == 200 else 0

    return count


def wait_for(count: Callable[[], int], events: int, every: float = 0.3) -> tuple[int, float]:
    """How many came and when the last was seen; gives up when nothing comes any more."""
    seen, moved = 0, time.monotonic()
    while seen < events and time.monotonic() - moved < STALL_SECONDS:
        now = count()
        if now > seen:
            seen, moved = now, time.monotonic()
        else:
            time.sleep(every)
    return seen, moved


def ours(corpus: Path, events: int, url: str, count: Callable[[], int]) -> tuple[Run, Run]:
    """The whole way, and the same with the aggregator's CPU alone."""
    with workplace() as directory:
        installation = Installation(directory)
        environment = {
            "OPENTRAIL_INDEX_ENGINE": "opensearch", "OPENTRAIL_OPENSEARCH_URL": url,
            "OPENTRAIL_OPENSEARCH_REPLICAS": "0", **latency.PRODUCT,
        }  # fmt: skip
        try:
            installation.start(str(directory / "in" / "*.jsonl"), environment=environment)
            (directory / "in").mkdir(exist_ok=True)
            before = family_cpu(installation.up_pid)
            agent_before = sum(cpu_seconds(pid) for pid in latency.agent_pids(installation))
            started = time.monotonic()
            shutil.copyfile(corpus, directory / "in" / "corpus.jsonl")
            seen, ended = wait_for(count, events)
            cpu = family_cpu(installation.up_pid) - before
            agent = sum(cpu_seconds(pid) for pid in latency.agent_pids(installation))
        finally:
            installation.destroy()
    size = corpus.stat().st_size
    whole = Run("OpenTrail", seen, ended - started, cpu, size)
    alone = cpu - (agent - agent_before)
    return whole, Run("OpenTrail's aggregator", seen, ended - started, alone, size)


def peer_alone(peer: Any, corpus: Path, events: int, node: OpenSearchNode) -> Run:
    with workplace() as directory:
        started = time.monotonic()
        values = {"corpus": corpus, "server": node.port}
        with running(peer, peer.alone, directory / "peer", **values) as process:
            seen, ended = wait_for(counted(node), events)
            cpu = cpu_seconds(process.pid)
    return Run(peer.name, seen, ended - started, cpu, corpus.stat().st_size)


def loader(corpus: Path, events: int, node: OpenSearchNode) -> Run:
    """Two threads that post bodies made before, into days made before."""
    cluster = Cluster(OpenSearchSettings(url=node.url, replicas=0))
    cluster.install_template()
    with workplace() as directory:
        names: list[Path] = []
        piece: list[bytes] = []
        size = 0
        for document in documents(corpus, cluster):
            piece += (document.action, document.body, b"\n")
            size += document.size
            if size >= BODY_BYTES:
                names.append(directory / str(len(names)))
                names[-1].write_bytes(b"".join(piece))
                piece, size = [], 0
        names.append(directory / "last")
        names[-1].write_bytes(b"".join(piece))
        waiting = iter(names)
        lock = threading.Lock()

        def post() -> None:
            while True:
                with lock:
                    name = next(waiting, None)
                if name is None:
                    return
                body = name.read_bytes()
                cluster.wire.ask("POST", "/_bulk?filter_path=errors", body,
                                 content_type="application/x-ndjson")  # fmt: skip

        started, before = time.monotonic(), cpu_seconds(os.getpid())
        threads = [threading.Thread(target=post) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        seen, ended = wait_for(counted(node), events)
        cpu = cpu_seconds(os.getpid()) - before
    return Run("ready-made bodies", seen, ended - started, cpu, corpus.stat().st_size)


def documents(
    corpus: Path, cluster: Cluster | None = None, *, has_words: bool = True
) -> Iterator[Document]:
    with open(corpus, "rb") as file:
        for number, line in enumerate(file, 1 << 16):
            record = orjson.loads(line)
            account = record["recipientAccountId"]
            when = time.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ")
            time_s = int(time.mktime(when) - time.timezone)
            day = day_of(time_s)
            if cluster is not None:
                cluster.make_day(day)
            event = Event(line.rstrip(), "", time_s, account, record["awsRegion"], number)
            key = event_key(account, record["eventID"], time_s // 3600).hex()
            yield Document(event, key, index_of(day), "bench", has_words=has_words)


def rate(scale: Scale) -> list[Figure]:
    """Events a second into the same real server, and our CPU on the way."""
    corpus, events = corpus_of(scale)
    with real_node() as node:
        whole, _ = ours(corpus, events, node.url, counted(node))
        node.clear()
        loaded = loader(corpus, events, node)
        peers = []
        for peer in PEERS:
            node.ask("DELETE", f"/{ALL}")
            with contextlib.suppress(PeerMissing):
                peers.append(peer_alone(peer, corpus, events, node))
    figures = [Figure("into the real OpenSearch, documents counted", f"{whole.rate:,.0f} events/s",
                      "", whole.events >= events,
                      "; ".join(map(str, [whole, loaded, *peers])))]  # fmt: skip
    ratio = whole.rate / loaded.rate
    figures.append(Figure("… against a loader of ready-made bodies", f"{ratio:.2f} x", ">= 0.85 x",
                          ratio >= 0.85))  # fmt: skip
    whole_peers = [each for each in peers if each.events >= events * 0.995]
    if not whole_peers:
        return [*figures, Figure("… against peers", "missing", "", False, str(peers))]
    fastest = max(whole_peers, key=lambda each: each.rate)
    ratio = whole.rate / fastest.rate
    figures.append(Figure(f"… against the faster of two peers: {fastest.name}", f"{ratio:.2f} x",
                          ">= 1.15 x", ratio >= 1.15, "the peer's documents have no id, no words "
                          "and no leaves"))  # fmt: skip
    ratio = whole.cpu_per_gb / fastest.cpu_per_gb
    figures.append(Figure("CPU seconds per GB on the way to _bulk, against that peer",
                          f"{ratio:.2f} x", "<= 0.50 x", ratio <= 0.5,
                          "all our processes, the archive's too"))  # fmt: skip
    return figures


@contextlib.contextmanager
def sink() -> Iterator[tuple[int, Callable[[], int]]]:
    process = subprocess.Popen([sys.executable, "-m", "bench.bulk_sink"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        def count() -> int:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/taken", timeout=30) as answer:
                return int(json.loads(answer.read()))

        yield port, count
    finally:
        process.terminate()
        process.wait(10)


def pair(scale: Scale) -> list[Figure]:
    """Agent, aggregator, `_bulk` to a sink that keeps nothing."""
    corpus, events = corpus_of(scale)
    with sink() as (port, count):
        _, alone = ours(corpus, events, f"http://127.0.0.1:{port}", count)
    runs = []
    for peer in PEERS:
        with (
            contextlib.suppress(PeerMissing), sink() as (server, count), workplace() as directory
        ):  # fmt: skip
            port = free_port()
            values = {"corpus": corpus, "server": server, "port": port}
            with running(peer, peer.aggregator, directory / "aggregator", **values) as there:
                time.sleep(1.5)
                started = time.monotonic()
                with running(peer, peer.agent, directory / "agent", **values):
                    seen, ended = wait_for(count, int(events * 0.995), 0.05)
                    cpu = cpu_seconds(there.pid)
            runs.append(Run(peer.name, seen, ended - started, cpu, corpus.stat().st_size))
    figures = [Figure("agent -> aggregator durable -> _bulk to a sink", f"{alone.rate:,.0f} "
                      "events/s", "", alone.events >= events,
                      "; ".join(map(str, [alone, *runs])))]  # fmt: skip
    whole = [each for each in runs if each.events >= events * 0.99]
    if whole:
        fastest = max(whole, key=lambda each: each.rate)
        ratio, cpu = alone.rate / fastest.rate, alone.cpu_per_gb / fastest.cpu_per_gb
        figures += [
            Figure(f"… against the fastest pair: {fastest.name}", f"{ratio:.2f} x", ">= 3 x",
                   ratio >= 3, "the peer without TLS, zstd, fsync and once"),
            Figure("… CPU of the aggregators", f"{cpu:.2f} x", "<= 0.33 x", cpu <= 1 / 3),
        ]  # fmt: skip
    return figures


def found(scale: Scale) -> list[Figure]:
    """Event -> searchable at 1,000 events a second, refresh 1 s."""
    with real_node() as node, workplace() as directory:
        installation = Installation(directory)
        environment = {
            "OPENTRAIL_INDEX_ENGINE": "opensearch", "OPENTRAIL_OPENSEARCH_URL": node.url,
            "OPENTRAIL_OPENSEARCH_REPLICAS": "0", **latency.PRODUCT,
        }  # fmt: skip
        file = directory / "load.json"
        waits: list[float] = []
        stop, lock = threading.Event(), threading.Lock()
        try:
            installation.start(str(directory / "load.json*"), environment=environment)
            probes = [
                threading.Thread(target=latency._probe,
                                 args=(installation, file, waits, lock, stop, number))
                for number in range(2)
            ]  # fmt: skip
            writer = latency.pace(file, 1_000, scale.paced_seconds * 2)
            time.sleep(3)
            for each in probes:
                each.start()
            writer.wait()
            stop.set()
            for each in probes:
                each.join()
            latency.told(writer)
        finally:
            installation.destroy()
    p99 = percentile(waits, 0.99)
    return [Figure("written line -> found in OpenSearch at 1,000 events/s, refresh 1 s, p99",
                   f"{p99:.2f} s", "<= 3 s", p99 <= 3,
                   f"p50 {percentile(waits, 0.5):.2f} s, {len(waits)} probes")]  # fmt: skip
