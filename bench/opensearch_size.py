"""How large an index is, and what it costs the server, beside dynamic mapping."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
from tests.real.opensearch import OpenSearchNode

from bench.corpus import records
from bench.figures import Figure, Scale
from bench.machine import cpu_seconds
from bench.opensearch import ALL, EVENTS, documents, real_node, workplace
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.settings import OpenSearchSettings


def size(scale: Scale) -> list[Figure]:
    """Index bytes and the server's CPU for each event, against dynamic mapping, by day as ours.

    Each is sent twice to a server that has taken some of each before, and the second counts: its
    first minutes are spent on compiling itself. The two are sent in turn.
    """
    events = EVENTS[scale.name] // 2
    with real_node() as node, workplace() as directory:
        corpus = directory / "corpus"
        corpus.write_bytes(b"".join(line + b"\n" for line in records(events, int(time.time()))))
        cluster = Cluster(OpenSearchSettings(url=node.url, replicas=0))
        cluster.install_template()
        settings = {"index.number_of_replicas": 0, "index.mapping.total_fields.limit": 10_000}
        dynamic = {"index_patterns": ["dynamic-*"], "template": {"settings": settings}}
        node.ask("PUT", "/_index_template/dynamic", dynamic)
        found: dict[str, tuple[float, float]] = {}
        for _ in range(2):
            found["dynamic"] = weighed(node, "dynamic-*", _dynamic(corpus))
            node.ask("DELETE", "/dynamic-*")
            for name, has_words in (("words", True), ("no words", False)):
                made = documents(corpus, cluster, has_words=has_words)
                found[name] = weighed(node, ALL, ((each.action, each.body) for each in made))
                node.ask("DELETE", f"/{ALL}")
                cluster.forget_days()
        cluster.wire.end()
    each_bytes, each_cpu = found["dynamic"]
    note = f"dynamic: {each_bytes:,.0f} B, {each_cpu * 1e5:.1f} s/100k"
    figures = []
    for name, bound in (("words", 1.0), ("no words", 0.8)):
        own_bytes, own_cpu = found[name]
        ratio, cpu_ratio = own_bytes / each_bytes, own_cpu / each_cpu
        what = "words included" if name == "words" else "opensearch.free_text off"
        figures += [
            Figure(f"index bytes of an event, {what}, against dynamic mapping",
                   f"{own_bytes:,.0f} B, {ratio:.2f} x", f"<= {bound} x", ratio <= bound, note),
            Figure(f"the server's CPU for an event, {what}, against dynamic mapping",
                   f"{own_cpu * 1e5:.1f} s/100k, {cpu_ratio:.2f} x", f"<= {bound} x",
                   cpu_ratio <= bound, note),
        ]  # fmt: skip
    return figures


def _dynamic(corpus: Path) -> Iterator[tuple[bytes, bytes]]:
    """Each record as it is, under an id of its own, in an index of its day."""
    with open(corpus, "rb") as file:
        for number, line in enumerate(file):
            day = orjson.loads(line)["eventTime"][:10]
            action = b'{"create":{"_index":"dynamic-%s","_id":"%d"}}\n' % (day.encode(), number)
            yield action, b'{"@timestamp":0,' + line.rstrip()[1:]


def weighed(
    node: OpenSearchNode, index: str, pairs: Iterable[tuple[bytes, bytes]]
) -> tuple[float, float]:
    """Bytes and CPU seconds of a document, after a merge to one segment a shard."""
    wire = Cluster(OpenSearchSettings(url=node.url)).wire
    cpu, piece = 0.0, list[bytes]()

    def post() -> None:
        nonlocal cpu
        before = cpu_seconds(node.pid)
        wire.ask("POST", "/_bulk?filter_path=errors", b"".join(piece),
                 content_type="application/x-ndjson")  # fmt: skip
        cpu += cpu_seconds(node.pid) - before
        piece.clear()

    for count, (action, body) in enumerate(pairs, 1):
        piece += (action, body, b"\n")
        if count % 1_000 == 0:
            post()
    if piece:
        post()
    before = cpu_seconds(node.pid)
    node.ask("POST", f"/{index}/_forcemerge?max_num_segments=1", timeout=600)
    node.ask("POST", f"/{index}/_flush", timeout=600)
    cpu += cpu_seconds(node.pid) - before
    time.sleep(12)  # The server remembers sizes for ten seconds.
    _, stats = node.ask("GET", f"/{index}/_stats/store,docs")
    total = stats["_all"]["primaries"]
    wire.end()
    return total["store"]["size_in_bytes"] / total["docs"]["count"], cpu / total["docs"]["count"]
