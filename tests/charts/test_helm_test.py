"""The command of `helm test`, run for real against an aggregator, with the rendered settings.

No container runs here: the pod's shell command and its agent.yaml are taken as rendered; only the
addresses and the folder of the certificate are this machine's.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, rendered
from tests.system.processes import Installation

pytestmark = pytest.mark.slow


def test_the_pods_command_sends_one_event_and_it_is_there(tmp_path: Path) -> None:
    container = pod()["containers"][0]
    environment = {each["name"]: each["value"] for each in container["env"]}
    trail = Installation(tmp_path)
    trail.start()
    try:
        pki = trail.home / "pki"
        subprocess.run(
            [sys.executable, "-m", "opentrail_aggregator.pki", str(pki), "--agent", "helm-test",
             "--", "127.0.0.1", "localhost"],
            check=True,
        )  # fmt: skip
        config = yaml.safe_load(environment["CONFIG"])
        assert config["name"] == "helm-test"
        config["ship"]["addresses"] = [trail.grpc]
        config["ship"]["tls"] = {
            "ca": str(pki / "ca.crt"),
            "certificate": str(pki / "agent-helm-test.crt"),
            "key": str(pki / "agent-helm-test.key"),
        }
        work = tmp_path / "work"
        work.mkdir()
        own = {
            "WORK": str(work),
            "CONFIG": yaml.safe_dump(config),
            "OPENTRAIL_URL": trail.url,
            "KEY": str(key_of(trail)),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            [*container["command"], *container["args"]],
            env=own, capture_output=True, text=True, timeout=150,
        )  # fmt: skip
        assert done.returncode == 0, textwrap.indent(done.stdout + done.stderr, "  ")
        assert "acknowledged: " in done.stdout
        assert '"eventName":"HelmTest"' in done.stdout
    finally:
        trail.stop()


def key_of(trail: Installation) -> Path:
    """The key file of a person on the aggregator's machine, if it makes one already."""
    made = trail.home / "keys" / "local.json"
    return made if made.exists() else Path(os.devnull)


def pod() -> dict[str, Any]:
    shape = rendered(CHART / "ci" / "monitoring-values.yaml")
    spec: dict[str, Any] = shape.one("Pod")["spec"]
    return spec


def test_without_a_key_the_pod_only_sends() -> None:
    shape = rendered(CHART / "ci" / "certmanager-values.yaml")
    names = {each["name"] for each in shape.one("Pod")["spec"]["containers"][0]["env"]}
    assert names == {"WORK", "CONFIG"}
