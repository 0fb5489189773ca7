"""What the kernel says about this machine and about processes: CPU seconds, memory, children."""

import contextlib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> str:
    """The machine in one line."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    gib = int(memory.group(1)) / (1 << 20) if memory else 0
    return (
        f"{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}, {gib:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"load before the run {os.getloadavg()[0]:.1f}"
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes (10^6) of one or more processes, shared pages divided among those who share."""

    pss: float = 0.0
    anonymous: float = 0.0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.pss + other.pss, self.anonymous + other.anonymous)


def cpu_seconds(pid: int) -> float:
    """User and system time of `pid` and of those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def memory(pid: int) -> Memory:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {key: int(kb) for key, kb in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.M)}
    return Memory(sizes["Pss"] * 1024 / 1e6, sizes["Pss_Anon"] * 1024 / 1e6)


def family(pid: int) -> list[int]:
    """`pid` and everything that descends from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    members = [pid]
    for each in members:
        members += [child for child, parent in parents.items() if parent == each]
    return members


def family_cpu(pid: int) -> float:
    return sum(_of_each(family(pid), cpu_seconds))


def family_memory(pid: int) -> Memory:
    return sum(_of_each(family(pid), memory), Memory())


def _of_each(pids: list[int], measure):  # type: ignore[no-untyped-def]
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield measure(pid)
