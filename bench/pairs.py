"""Agent to aggregator, durable on disk: events a second and the agent's CPU, beside the peers.

Runs are interleaved (each peer once, then again), so that a noisy minute hits all of them; the
median of the runs counts.
"""

import statistics
import time

from bench.corpus import write_corpus
from bench.figures import Figure, Scale
from bench.ours import run_ours
from bench.peer_builds import CACHE, PeerMissing
from bench.peers import PEERS, PairResult, run_pair

OURS = "OpenTrail"
# A peer whose last buffer is written at its exit is given the rest.
DURABLE_PEER = "OTel, persistent queue, fsync"
RACERS = ("rsyslog, RELP", "syslog-ng, TCP")


def run(scale: Scale) -> list[Figure]:
    newest = int(time.time())
    name = f"corpus-{scale.corpus_events}.jsonl"
    corpus = write_corpus(CACHE / name, scale.corpus_events, newest)
    results: dict[str, list[PairResult]] = {}
    missing: dict[str, str] = {}
    for _ in range(scale.runs):
        results.setdefault(OURS, []).append(run_ours(corpus, scale.corpus_events))
        for peer in PEERS:
            try:
                found = run_pair(peer, corpus, scale.corpus_events)
                results.setdefault(peer.name, []).append(found)
            except PeerMissing as error:
                missing[peer.name] = str(error)
    print(_raw(results))
    return [*_rates(results), *_cpu(results), *(
        Figure(name, "missing", "", False, reason.split("\n")[0])
        for name, reason in missing.items()
    )]  # fmt: skip


def _rate(results: list[PairResult]) -> float:
    return statistics.median(each.rate for each in results)


def _cpu_per_gb(results: list[PairResult]) -> float:
    return statistics.median(each.agent_cpu_per_gb for each in results)


def _rates(results: dict[str, list[PairResult]]) -> list[Figure]:
    ours = _rate(results[OURS])
    figures = [
        Figure("agent -> aggregator durable on disk, TLS, zstd, fsync before the ack",
               f"{ours:,.0f} events/s", "", all(each.complete for each in results[OURS]),
               f"runs: {', '.join(f'{each.rate:,.0f}' for each in results[OURS])}")
    ]  # fmt: skip
    if DURABLE_PEER in results:
        ratio = ours / _rate(results[DURABLE_PEER])
        figures.append(Figure(f"… against {DURABLE_PEER}", f"{ratio:.1f} x", ">= 5 x", ratio >= 5))
    racers = {name: _rate(results[name]) for name in RACERS if name in results}
    if racers:
        fastest = max(racers, key=lambda name: racers[name])
        ratio = ours / racers[fastest]
        figures.append(
            Figure(f"… against the faster of rsyslog (RELP) and syslog-ng, no fsync: {fastest}",
                   f"{ratio:.2f} x", ">= 1.2 x", ratio >= 1.2)
        )  # fmt: skip
    return figures


def _cpu(results: dict[str, list[PairResult]]) -> list[Figure]:
    ours = _cpu_per_gb(results[OURS])
    compressing = {p.name: _cpu_per_gb(results[p.name]) for p in PEERS
                   if p.compresses and p.name in results}  # fmt: skip
    persisting = {p.name: compressing[p.name] for p in PEERS if p.persists and p.name in results}
    figures = [Figure("agent CPU seconds per GB", f"{ours:.1f}", "", None)]
    for what, peers, bound in (
        ("every peer that compresses", compressing, 1 / 2),
        ("those that also persist", persisting, 1 / 3),
    ):
        if peers:
            best = min(peers, key=lambda name: peers[name])
            ratio = ours / peers[best]
            measured = f"{ratio:.2f} of its {peers[best]:.1f}"
            figures.append(
                Figure(f"… against {what}; the best: {best}", measured, f"<= {bound:.2f}",
                       ratio <= bound)
            )  # fmt: skip
    return figures


def _raw(results: dict[str, list[PairResult]]) -> str:
    loses = {peer.name: peer.loses for peer in PEERS}
    lines = ["| pair | events/s | agent CPU s/GB | aggregator CPU s/GB | agent PSS MB | complete | "
             "a crash costs |", "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, runs in results.items():
        aggregator = statistics.median(r.aggregator_cpu / (r.raw_bytes / 1e9) for r in runs)
        memory = max(each.agent_pss for each in runs)
        lines.append(
            f"| {name} | {_rate(runs):,.0f} | {_cpu_per_gb(runs):.1f} | {aggregator:.1f} | "
            f"{memory:.0f} | {'yes' if all(r.complete for r in runs) else 'no'} | "
            f"{loses.get(name, 'nothing')} |"
        )
    return "\n".join(lines) + "\n"
