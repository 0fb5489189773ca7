"""The peers as pairs: an agent that follows a file and an aggregator that writes a file.

`run_pair` starts both, waits until every line of the corpus is in the aggregator's output, and
says how long that took and what CPU each side used.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import peer_builds, peer_configs
from bench.corpus import MARK
from bench.machine import cpu_seconds, memory

GIVE_UP_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    family: str
    agent_config: str
    aggregator_config: str
    compresses: bool
    persists: bool
    loses: str
    """What these settings give up, in words for the table."""


@dataclass(frozen=True, slots=True)
class PairResult:
    events: int
    raw_bytes: int
    seconds: float
    agent_cpu: float
    aggregator_cpu: float
    agent_pss: float
    complete: bool = True

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def agent_cpu_per_gb(self) -> float:
        return self.agent_cpu / (self.raw_bytes / 1e9)


c = peer_configs
PEERS = [
    Peer("OTel, persistent queue, fsync", "otel", c.OTEL_PERSISTENT_AGENT, c.OTEL_AGGREGATOR,
         compresses=True, persists=True,
         loses="aggregator acknowledges before its file is synced; a killed agent sends again"),
    Peer("OTel, batch before the persistent queue", "otel", c.OTEL_BATCHED_AGENT,
         c.OTEL_AGGREGATOR, compresses=True, persists=True,
         loses="what is in the batch processor when the agent dies"),
    Peer("OTel, memory queue, no fsync", "otel", c.OTEL_MEMORY_AGENT, c.OTEL_AGGREGATOR,
         compresses=True, persists=False, loses="the whole queue when the agent dies"),
    Peer("rsyslog, RELP", "rsyslog", c.RSYSLOG_RELP_AGENT, c.RSYSLOG_RELP_AGGREGATOR,
         compresses=False, persists=False,
         loses="its memory queues at both ends, no fsync anywhere"),
    Peer("rsyslog, zlib stream", "rsyslog", c.RSYSLOG_ZLIB_AGENT, c.RSYSLOG_ZLIB_AGGREGATOR,
         compresses=True, persists=False,
         loses="its memory queues at both ends and what TCP held, no acknowledgement"),
    Peer("syslog-ng, TCP", "syslog-ng", c.SYSLOG_NG_AGENT, c.SYSLOG_NG_AGGREGATOR,
         compresses=False, persists=False,
         loses="its memory queues and what TCP held, no acknowledgement, no fsync"),
]  # fmt: skip


def commands(peer: Peer, config: Path, work: Path) -> tuple[list[str], dict[str, str]]:
    """How one daemon of `peer` is started in the foreground with `config`."""
    if peer.family == "otel":
        return [str(peer_builds.otel_collector()), "--config", str(config)], {}
    if peer.family == "rsyslog":
        root = peer_builds.rsyslog()
        modules = root / "usr/lib" / f"{os.uname().machine}-linux-gnu" / "rsyslog"
        command = [str(root / "usr/sbin/rsyslogd"), "-n", "-f", str(config)]
        command += ["-i", str(work / "pid"), "-M", str(modules)]
        return command, {"LD_LIBRARY_PATH": peer_builds.library_path(root)}
    root = peer_builds.syslog_ng()
    command = [str(root / "usr/sbin/syslog-ng"), "-F", "--no-caps", "-f", str(config)]
    command += ["-R", str(work / "persist"), "-c", str(work / "control"), "-p", str(work / "pid")]
    command += [f"--module-path={root / 'usr/lib/syslog-ng/3.38'}"]
    return command, {"LD_LIBRARY_PATH": peer_builds.library_path(root)}


@contextlib.contextmanager
def daemon(
    peer: Peer, config_text: str, side: str, **values: object
) -> Iterator[subprocess.Popen[bytes]]:
    work = Path(str(values["root"])) / side
    work.mkdir()
    config = work / "config"
    config.write_text(config_text.format(work=work, **values))
    command, environment = commands(peer, config, work)
    with open(work / "log", "wb") as log:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=log, stderr=log, cwd=work
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_pair(peer: Peer, corpus: Path, events: int) -> PairResult:
    root = Path(tempfile.mkdtemp(prefix="opentrail-bench-"))
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        output = root / "output"
        values = {"root": root, "corpus": corpus, "output": output, "port": port}
        with daemon(peer, peer.aggregator_config, "aggregator", **values) as aggregator:
            _wait_for_port(port)
            started = time.monotonic()
            with daemon(peer, peer.agent_config, "agent", **values) as agent:
                seen, ended = count_until(output, events)
                result = PairResult(
                    seen, corpus.stat().st_size, ended - started, cpu_seconds(agent.pid),
                    cpu_seconds(aggregator.pid), memory(agent.pid).pss, seen >= events * 0.995,
                )  # fmt: skip
        return result
    finally:
        shutil.rmtree(root, ignore_errors=True)


def count_until(output: Path, events: int) -> tuple[int, float]:
    """How many records are in `output` and when the last was seen.

    The last buffer of some peers is written only at their exit, so 99.5 % counts as all.
    """
    seen, offset, changed = 0, 0, time.monotonic()
    tail = b""
    while seen < events * 0.995 and time.monotonic() - changed < GIVE_UP_SECONDS:
        piece = _read_from(output, offset)
        if not piece:
            if time.monotonic() - changed > 20:
                break
            time.sleep(0.02)
            continue
        offset += len(piece)
        # In JSON inside JSON the quotes are escaped, so the bare word is counted.
        word = MARK.strip(b'"')
        text = tail + piece
        seen += text.count(word)
        tail = text[-(len(word) - 1) :]
        changed = time.monotonic()
    return seen, changed


def _read_from(path: Path, offset: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(64 << 20)
    except FileNotFoundError:
        return b""


def _wait_for_port(port: int) -> None:
    _until(lambda: _connects(port), 20)


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)
