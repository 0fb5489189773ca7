"""Health tells the truth: each fault is seen within fifteen seconds, and so is its end.

One installation, one fault after another; between two of them everything is well, or the next one
would prove nothing. A full disk is in `test_faults.py`, a silent agent in consolidate's own tests.
"""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .processes import Installation, wait_for
from .producer import Load, Producer

pytestmark = pytest.mark.long
EDGE_SECONDS = 15.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("edges")
    producer = Producer(folder / "source", 71)
    installation = Installation(folder / "installation")
    try:
        installation.start(producer.pattern)
        with Load(producer, 50):
            yield installation
    finally:
        installation.destroy()


def problems(installation: Installation) -> list[dict[str, Any]]:
    status, body = installation.get("/health/delivery")
    if not status:
        return []
    found: list[dict[str, Any]] = json.loads(body)["problems"]
    return found


def tells(installation: Installation, role: str, key: str) -> Callable[[], bool]:
    return lambda: any(
        each["role"] == role and each["key"].startswith(key) for each in problems(installation)
    )


def in_metrics(installation: Installation, role: str, key: str) -> bool:
    """The problem is a metric too, which is what alert rules are made of."""
    lines = installation.get("/metrics")[1].decode().splitlines()
    told = [line for line in lines if line.startswith("opentrail_problem{")]
    return any(f'role="{role}"' in line and f'key="{key}' in line for line in told)


def both_edges(
    installation: Installation, role: str, key: str, break_it: Callable[[], None],
    mend_it: Callable[[], None], *, delivers: bool = False, ready: bool = True,
) -> None:  # fmt: skip
    """Make a fault and end it; what health says has to follow both."""
    told = tells(installation, role, key)
    wait_for("well before", lambda: installation.get("/health/delivery")[0] == 200, 30)
    assert not told()
    break_it()
    begun = time.monotonic()
    try:
        wait_for(f"{role} {key} is told", told, EDGE_SECONDS)
        assert in_metrics(installation, role, key)
        delivery, is_ready = installation.get("/health/delivery")[0], installation.is_ready()
        assert (delivery == 200) is delivers
        if not ready:
            assert not is_ready
    finally:
        mend_it()
    assert time.monotonic() - begun < 2 * EDGE_SECONDS
    wait_for(f"{role} {key} is over", lambda: not told(), EDGE_SECONDS)
    wait_for("delivers again", lambda: installation.get("/health/delivery")[0] == 200, EDGE_SECONDS)
    assert installation.is_ready()


@pytest.mark.parametrize("role", ["ingest", "consolidate", "index"])
def test_a_process_that_hangs(running: Installation, role: str) -> None:
    process = running.find(role)
    both_edges(
        running, role, "silent",
        lambda: process.kill(signal.SIGSTOP), lambda: process.kill(signal.SIGCONT),
        ready=role != "ingest",
    )  # fmt: skip


def test_a_process_that_dies(running: Installation) -> None:
    both_edges(running, "supervisor", "process:index", running.find("index").kill, lambda: None)


def test_a_certificate_that_does_not_fit_its_key(running: Installation, tmp_path: Path) -> None:
    """The old pair goes on; ready is false, because at a restart nobody could connect."""
    key = running.home / "pki" / "server.key"
    kept = Path(shutil.copy(key, tmp_path / "kept"))
    foreign = running.home / "pki" / "agent-local.key"
    both_edges(
        running, "ingest", "ingest.certificate",
        lambda: void(key.write_bytes(foreign.read_bytes())),
        lambda: void(key.write_bytes(kept.read_bytes())),
        ready=False,
    )  # fmt: skip


def test_identity_files_that_a_later_release_wrote(running: Installation) -> None:
    """An alarm: nothing stands still, and what was read before holds."""
    path = running.home / "identity" / "revoked.json"
    path.parent.mkdir(exist_ok=True)
    both_edges(
        running, "ingest", "ingest.identity",
        lambda: void(path.write_text('{"format": 99, "entries": {}}')),
        path.unlink,
        delivers=True,
    )  # fmt: skip


def void(_: object) -> None:
    """What a step returned is of no interest."""
