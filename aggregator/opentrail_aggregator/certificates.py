"""Where a home's development certificates lie, and having them made in a process of their own.

    HOME/pki/ca.crt ca.key                 the home's own authority; signs the others
    HOME/pki/server.crt server.key         the aggregator, for the host names agents dial
    HOME/pki/agent-NAME.crt agent-NAME.key an agent; SAN URI opentrail://agent/NAME

Making them (`pki.py`) needs a library that takes longer to load than everything else at a start,
and is needed once. So it is loaded where it is gone again afterwards.
"""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from opentrail.errors import ConfigError

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where one party's certificate, key and authority lie."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def exist(self) -> bool:
        """Whether all files are there, whatever is in them."""
        return all(path.exists() for path in (self.authority, self.certificate, self.key))


def server_credentials(directory: Path) -> Credentials:
    """The aggregator's."""
    return _named(directory, "server")


def agent_credentials(directory: Path, name: str) -> Credentials:
    """Those of the agent `name`."""
    return _named(directory, f"agent-{name}")


def make_certificates(directory: Path, hosts: Iterable[str], agents: Iterable[str]) -> None:
    """Make what is missing, runs out or does not name a host; keeps what is there."""
    argv = [sys.executable, "-m", "opentrail_aggregator.pki", str(directory)]
    for name in agents:
        argv += ["--agent", name]
    argv += ["--", *sorted(set(hosts))]
    for _ in range(_TRIES):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if done.returncode > 0:
            break
        # Killed: it says nothing about the certificates, and making them again is harmless.
    said = done.stderr.strip().rpartition("\n")[2]
    raise ConfigError(said or f"{directory}: making certificates ended with {done.returncode}")


def _named(directory: Path, stem: str) -> Credentials:
    return Credentials(directory / "ca.crt", directory / f"{stem}.crt", directory / f"{stem}.key")
