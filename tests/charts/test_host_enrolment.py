"""Agents for host files enrol: what their pod does is done for real, from the rendered manifests.

No container runs here: paths and addresses are replaced, `$(NAME)` is filled in as a kubelet does.
"""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from opentrail.certificate import facts_of
from tests.charts.rendering import CHART, Rendered, rendered
from tests.charts.test_first_start import PROGRAMS

pytestmark = pytest.mark.slow
NODE = "worker-1"
SHAPE = CHART / "ci" / "enrolment-values.yaml"
PATH = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}


class Cluster:
    """The aggregator's pod and the agent's of one node, as processes of this machine."""

    def __init__(self, directory: Path) -> None:
        self.shape: Rendered = rendered(SHAPE, sets=('aggregator.tls.extraHosts=["127.0.0.1"]',))
        self.home, self.node = directory / "home", directory / "node"
        self.home.mkdir()
        self.node.mkdir()
        self.token = directory / "token"
        self.http, self.grpc = free_port(), free_port()
        self.running: list[subprocess.Popen[bytes]] = []

    def configuration(self, ending: str, name: str) -> Path:
        text = self.shape.one("ConfigMap", ending)["data"][name]
        path = self.home.parent / name
        path.write_text(self.here(text))
        return path

    def here(self, text: str) -> str:
        """With the folders and ports of this machine."""
        for there, here in (
            ("/var/lib/opentrail-agent", str(self.node)),
            ("/var/lib/opentrail", str(self.home)),
            ("/etc/opentrail/enrolment/token", str(self.token)),
            ("/tmp/unused.yaml", str(self.node / "unused.yaml")),
            ("0.0.0.0:8471", f"127.0.0.1:{self.grpc}"),
            ("0.0.0.0:8470", f"127.0.0.1:{self.http}"),
            ("rel-opentrail-aggregator-http.trail.svc:8470", f"127.0.0.1:{self.http}"),
            ("rel-opentrail-aggregator.trail.svc:8471", f"127.0.0.1:{self.grpc}"),
        ):
            text = text.replace(there, here)
        return text

    def begin(self, *words: str, env: dict[str, str] | None = None) -> None:
        with open(self.home.parent / "output", "ab") as output:
            self.running.append(
                subprocess.Popen(
                    words, env=os.environ | PATH | (env or {}), stdout=output,
                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                )
            )  # fmt: skip

    def run(
        self, words: list[str], env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=os.environ | PATH | (env or {}), capture_output=True, text=True, timeout=60
        )

    def command(self, container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        """What a kubelet on NODE runs, and with which variables."""
        env = {
            each["name"]: each.get("value", NODE).replace("$(NODE_NAME)", NODE)
            for each in container.get("env", [])
        }
        words = [*container["command"], *container.get("args", [])]
        filled = [re.sub(r"\$\((\w+)\)", lambda found: env[found[1]], each) for each in words]
        return [self.here(each) for each in filled], env

    def destroy(self) -> None:
        for each in self.running:
            each.kill()
            each.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    each = Cluster(tmp_path)
    yield each
    each.destroy()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, look: Any, cluster: Cluster, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        said = (cluster.home.parent / "output").read_text()[-2000:]
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{said}"
        time.sleep(0.2)


def test_a_node_enrols_once_under_its_name_and_its_agent_is_welcome(cluster: Cluster) -> None:
    aggregator = cluster.shape.one("StatefulSet")["spec"]["template"]["spec"]
    home, env = cluster.command(aggregator["initContainers"][0])
    assert cluster.run(home, env).returncode == 0
    config = cluster.configuration("-aggregator", "aggregator.yaml")
    cluster.begin("opentrail-aggregator", "run", "--config", str(config))
    made = cluster.run(
        ["opentrail-aggregator", "tokens", "create", "node-*", "--home", str(cluster.home),
         "--no-config", "--uses", "1"]
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    cluster.token.write_text(made.stdout)
    until("it answers", lambda: (cluster.home / "run" / "endpoint.json").exists(), cluster)

    pod = cluster.shape.one("DaemonSet")["spec"]["template"]["spec"]
    words, env = cluster.command(pod["initContainers"][0])
    done = cluster.run(words, env)
    until("it enrols", lambda: cluster.run(words, env).returncode == 0, cluster, 30)
    assert "refused with" not in done.stderr
    pair = cluster.node / "identity" / "agent.pem"
    first = facts_of(pair.read_text())
    # The token is spent, and gone: the pod's next start does not look at it.
    cluster.token.unlink()
    again = cluster.run(words, env)
    assert (again.returncode, facts_of(pair.read_text())) == (0, first), again.stderr

    config = cluster.configuration("-hosts", "agent.yaml")
    words, env = cluster.command(pod["containers"][0])
    assert words[:3] == ["opentrail-agent", "run", "--config"]
    assert yaml.safe_load(config.read_text())["name"] == "node"
    cluster.begin(*words[:3], str(config), env=env)
    probe = [sys.executable, "-m", "opentrail_agent.probe", "ready", str(cluster.node)]
    until("the agent is welcome", lambda: cluster.run(probe).returncode == 0, cluster)
    status = cluster.run(["opentrail", "status", "--output", "json", "--home", str(cluster.home)])
    assert f'"node-{NODE}"' in status.stdout, status.stdout + status.stderr


def test_a_certificate_that_ran_out_is_got_anew(cluster: Cluster) -> None:
    # There is no token, so what is tried fails; while the certificate is good nothing is tried.
    pod = cluster.shape.one("DaemonSet")["spec"]["template"]["spec"]
    words, env = cluster.command(pod["initContainers"][0])
    home, given = cluster.command(
        cluster.shape.one("StatefulSet")["spec"]["template"]["spec"]["initContainers"][0]
    )
    assert cluster.run(home, given).returncode == 0
    pair = cluster.node / "identity" / "agent.pem"
    pair.parent.mkdir()
    pair.write_bytes((cluster.home / "pki" / "server.crt").read_bytes())
    assert cluster.run(words, env).returncode == 0
    done = cluster.run(words, env | {"OPENTRAIL_CLOCK_OFFSET": str(40 * 365 * 86400)})
    assert done.returncode != 0
    assert "token" in done.stderr
