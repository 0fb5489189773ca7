"""A kill at any step repeats work with the same result: no orphan, no second object or manifest."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from opentrail.crash import VARIABLE
from tests.aggregator.archive.crash_driver import OBJECT_MAX_BYTES
from tests.aggregator.archive.rig import NOON, Rig, event

POINTS = [
    "archive.spilled",
    "archive.staged",
    "archive.put",
    "archive.manifest",
    "archive.cursor",
]


def snapshot(rig: Rig) -> dict[str, bytes]:
    keys = rig.object_keys() + rig.object_keys("OpenTrail-Manifest")
    return {key: rig.reader.catalog.read(key) for key in keys}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """An archive of a busy log that was never interrupted."""
    rig = Rig(tmp_path_factory.mktemp("reference"), object_max_bytes=OBJECT_MAX_BYTES)
    rig.grant_all()
    for n in range(60):
        batch = [event(n * 100 + i, NOON + n * 120 - (i % 3) * 3600, pad=500) for i in range(20)]
        rig.log.send(batch, copies=[3])
        rig.log.send([event(10**6 + n, NOON - 86400 - n * 3600)], agent="i", kind="import")
        rig.log.heartbeat("web-1")
        rig.pass_time(120)
    rig.log.append_control("import-ended", {"agent": "i", "epoch": "e" * 32})
    rig.pass_time(3 * 3600, step=300)
    rig.assert_sound()
    assert len(rig.object_keys()) > 30
    rig.archiver.close()
    return rig


def run(home: Path, log: Path, crash_at: str) -> int:
    environment = {**os.environ, VARIABLE: crash_at}
    command = [sys.executable, "-m", "tests.aggregator.archive.crash_driver", str(home), str(log)]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_changes_nothing_of_the_result(
    point: str, reference: Rig, tmp_path: Path
) -> None:
    log = tmp_path / "log.pickle"
    log.write_bytes(pickle.dumps(reference.log))
    home = tmp_path / "home"
    for crash_at in (f"{point}:1", f"{point}:1", f"{point}:2", f"{point}:3"):
        assert run(home, log, crash_at) == -signal.SIGKILL, f"{crash_at} was never reached"
    assert run(home, log, "") == 0
    rig = Rig(home, log=reference.log, object_max_bytes=OBJECT_MAX_BYTES)
    assert snapshot(rig) == snapshot(reference)
    rig.assert_sound()
    assert list((home / "staging" / "deliveries").iterdir()) == []
    assert not [path for path in home.rglob("*.tmp")]
