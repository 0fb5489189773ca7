"""What is looked at: one home, its settings, and the host as far as tests have to make it sick."""

import os
import resource
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from opentrail.clock import Clock
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.home import Home


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake."""

    check: str
    what: str
    fix: str


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def _total_bytes(path: Path) -> int:
    return shutil.disk_usage(path).total


def _free_inodes(path: Path) -> float:
    """The share that is free; 1.0 where a file system has no such limit."""
    found = os.statvfs(path)
    return found.f_favail / found.f_files if found.f_files else 1.0


def _open_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _memory_limit() -> int | None:
    """Bytes that this process's group may use, if that is limited."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _mounts() -> str:
    return Path("/proc/mounts").read_text()


@dataclass(frozen=True, slots=True)
class Host:
    """Questions to the machine."""

    free_bytes: Callable[[Path], int] = _free_bytes
    total_bytes: Callable[[Path], int] = _total_bytes
    free_inodes: Callable[[Path], float] = _free_inodes
    open_files: Callable[[], int] = _open_files
    resolves: Callable[[str], bool] = _resolves
    is_taken: Callable[[str, int], bool] = _is_taken
    memory_limit: Callable[[], int | None] = _memory_limit
    mounts: Callable[[], str] = _mounts
    can_write: Callable[[Path], bool] = lambda path: os.access(path, os.W_OK)


@dataclass(frozen=True, slots=True)
class Patient:
    """One installation."""

    settings: AggregatorSettings
    clock: Clock
    host: Host = field(default_factory=Host)

    @property
    def home(self) -> Home:
        return self.settings.place

    @property
    def now(self) -> int:
        return self.clock.now_ns() // 1_000_000_000
