"""Our own pair: ingest alone with its log on one side, a following agent on the other.

Durable is what HOME/log/durable says, the position ingest publishes after each sync; the events up
to it are added up from the frame heads in the segments (docs/formats.md), after the clock stopped.
"""

import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from tests.system.processes import COMMANDS, Installation, free_port

from bench.machine import cpu_seconds, family, memory
from bench.peers import PairResult
from bench.weight import Running

# crc, length, meta length, kind, version, zero, position, appended at, events, refused, synced
FRAME = struct.Struct("<IIIBBHQqIII")
assert FRAME.size == 44
BATCH = 1
QUIET_SECONDS = 3.0


def run_ours(corpus: Path, events: int) -> PairResult:
    """From the start of the agent until the last event of `corpus` is durable in the log."""
    directory = Path(tempfile.mkdtemp(prefix="opentrail-bench-"))
    try:
        home = with_certificates(directory)
        port = free_port()
        config = directory / "agent.yaml"
        config.write_text(_agent_config(directory, home, port, corpus))
        with Running(home, port, "ingest") as running:
            before, started = events_in_log(home), time.monotonic()
            agent = subprocess.Popen(
                [str(COMMANDS / "opentrail-agent"), "run", "--config", str(config)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                ended, peak = _watch(home, agent.pid)
                cpu, ingest = cpu_seconds(agent.pid), _ingest_cpu(running.process.pid)
            finally:
                agent.terminate()
                agent.wait(15)
        seen = events_in_log(home) - before
        size = corpus.stat().st_size
        return PairResult(seen, size, ended - started, cpu, ingest, peak, seen == events)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _watch(home: Path, agent: int) -> tuple[float, float]:
    """When the durable position last moved, and the agent's highest PSS until then."""
    moved, last, highest, looked = time.monotonic(), b"", 0.0, 0.0
    begun = False
    while time.monotonic() - moved < (QUIET_SECONDS if begun else 20):
        now = (home / "log" / "durable").read_bytes()
        if now != last:
            begun = begun or bool(last)
            last, moved = now, time.monotonic()
        if time.monotonic() - looked > 0.25:
            looked, highest = time.monotonic(), max(highest, memory(agent).pss)
        time.sleep(0.005)
    return moved, highest


def events_in_log(home: Path) -> int:
    """Events in all batch frames, from their heads."""
    total = 0
    for path in sorted((home / "log").rglob("*.seg")):
        with open(path, "rb") as file:
            while len(head := file.read(FRAME.size)) == FRAME.size:
                _, length, _, kind, _, _, _, _, events, refused, _ = FRAME.unpack(head)
                if kind == 0:
                    break
                total += events + refused if kind == BATCH else 0
                file.seek(length, 1)
    return total


def _ingest_cpu(supervisor: int) -> float:
    return sum(cpu_seconds(pid) for pid in family(supervisor) if pid != supervisor)


def with_certificates(directory: Path) -> Path:
    """A home that was started once."""
    installation = Installation(directory)
    try:
        installation.start()
        installation.stop()
    finally:
        installation.destroy()
    return installation.home


def _agent_config(directory: Path, home: Path, port: int, corpus: Path) -> str:
    return (
        agent_config_of(directory, home, port)
        + f"""\
capture:
  watch:
    - path: {corpus}
"""
    )


def agent_config_of(directory: Path, home: Path, port: int) -> str:
    """An agent that follows nothing yet."""
    certificate = home / "pki" / "agent-local.crt"
    return f"""\
name: local
state: {directory / "agent-state"}
ship:
  addresses: ["127.0.0.1:{port}"]
  tls:
    ca: {home / "pki" / "ca.crt"}
    certificate: {certificate}
    key: {certificate.with_suffix(".key")}
"""
