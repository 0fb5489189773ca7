"""A kill at any step: then one digest per window, the same bytes, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from opentrail.crash import VARIABLE
from opentrail_aggregator.digest.digester import Digester
from tests.aggregator.digest.rig import HOUR, DigestRig, busy

POINTS = ["digest.signed", "digest.put", "digest.cursor"]


class Silent(Digester):
    """Signs nothing: what is delivered waits."""

    def step(self) -> bool:
        return False


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> DigestRig:
    """Some hours of deliveries without a digest, and a key, so that signatures can be compared."""
    rig = DigestRig(tmp_path_factory.mktemp("delivered"))
    rig.digester.__class__ = Silent
    busy(rig, 4)
    rig.pass_time(HOUR)
    assert len(rig.inbox.entries) > 8
    for region in ("eu-west-1", "us-east-2"):
        rig.keys.key_for(region, rig.inbox.entries[0].delivered_at_s)
    rig.role.close()
    return rig


def run(home: Path, through: int, crash_at: str) -> int:
    environment = {**os.environ, VARIABLE: crash_at}
    command = [sys.executable, "-m", "tests.aggregator.digest.crash_driver", str(home)]
    return subprocess.run(
        [*command, str(through)], env=environment, check=False, timeout=60
    ).returncode


def digests_in(home: Path) -> dict[str, tuple[bytes, bytes]]:
    bucket, meta = home / "archive" / "opentrail", home / "archive-meta" / "opentrail"
    return {
        str(path.relative_to(bucket)): (
            path.read_bytes(),
            (meta / f"{path.relative_to(bucket)}.json").read_bytes(),
        )
        for path in bucket.rglob("*_CloudTrail-Digest_*.gz")
    }


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_leaves_one_digest_per_window_with_the_same_bytes(
    point: str, delivered: DigestRig, tmp_path: Path
) -> None:
    through = delivered.clock.now_ns() // 10**9
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for home in (whole, killed):
        shutil.copytree(delivered.home.path, home)
    assert run(whole, through, "") == 0
    for crash_at in (f"{point}:1", f"{point}:1", f"{point}:2", f"{point}:5"):
        assert run(killed, through, crash_at) == -signal.SIGKILL, f"{crash_at} was never reached"
    assert run(killed, through, "") == 0
    expected = digests_in(whole)
    assert len(expected) > 12
    assert digests_in(killed) == expected
    rig = DigestRig(killed, log=delivered.log)
    assert rig.check().problems == []
    assert list(rig.inbox.entries) == []
    assert list((killed / "digest" / "staged").iterdir()) == []
