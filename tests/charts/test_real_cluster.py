"""The chart on a real Kubernetes API: Pod Security admission, controllers, scheduler, kwok nodes.

kwok runs no containers, so *Running* says that every pod was admitted, made, given its volumes and
scheduled, and not that the product works: the command of the `helm test` pod runs for real beside
it, against the rendered configuration, in `test_helm_test.py`, and the first start in
`test_first_start.py`.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.charts.rendering import CHART, tool
from tests.real.kubernetes import ControlPlane, environment, is_ready, programs

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("kubernetes")]
FORMER = Path(__file__).with_name("fixtures") / "opentrail-0.1.0.tgz"
WAIT = "90s"


class Cluster:
    """The plane, and helm on it."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self._environment = environment(plane, folder)

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tool("helm"), *arguments],
            capture_output=True, text=True, timeout=150, env=self._environment,
        )  # fmt: skip

    def install(self, release: str, namespace: str, chart: Path, *more: str) -> None:
        done = self.helm(
            "install",
            release,
            str(chart),
            "--namespace",
            namespace,
            "--wait",
            "--timeout",
            WAIT,
            *more,
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.plane.events(namespace)}"

    def running(self, namespace: str) -> dict[str, list[str]]:
        """Who owns which pods; all of them have to be Running and ready."""
        owned: dict[str, list[str]] = {}
        for pod in self.plane.pods(namespace):
            name = pod["metadata"]["name"]
            assert pod["status"]["phase"] == "Running", f"{name}: {pod['status']}"
            assert is_ready(pod), f"{name}: {pod['status']}"
            assert pod["spec"]["nodeName"].startswith("node-")
            owner = pod["metadata"]["ownerReferences"][0]["kind"]
            owned.setdefault(owner, []).append(name)
        return owned


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("kubernetes")
    plane = ControlPlane(folder, programs(tool("control-plane")))
    try:
        plane.start()
        yield Cluster(plane, folder)
    finally:
        plane.stop()


def test_every_pod_of_the_default_values_runs_under_restricted(cluster: Cluster) -> None:
    cluster.plane.namespace("trail", "restricted")
    cluster.plane.volume("for-trail", "50Gi")
    cluster.install("rel", "trail", CHART)
    assert cluster.running("trail") == {"StatefulSet": ["rel-opentrail-aggregator-0"]}
    (claim,) = cluster.plane.items("/api/v1/namespaces/trail/persistentvolumeclaims")
    assert (claim["status"]["phase"], claim["spec"]["volumeName"]) == ("Bound", "for-trail")
    assert "violates PodSecurity" not in cluster.plane.events("trail")


def test_a_value_that_the_schema_does_not_know_changes_nothing_that_runs(cluster: Cluster) -> None:
    for spoilt in ("aggregator.replicas=2", "aggregator.config.retention.dayz=3"):
        done = cluster.helm(
            "upgrade", "rel", str(CHART), "--namespace", "trail", "--set", spoilt, "--wait"
        )
        assert done.returncode != 0
        assert "values don't meet the specifications" in done.stderr
    history = cluster.helm("history", "rel", "--namespace", "trail", "--output", "json")
    assert [each["status"] for each in json.loads(history.stdout)] == ["deployed"]
    assert len(cluster.running("trail")["StatefulSet"]) == 1


def test_agents_run_under_restricted_and_those_for_host_files_in_their_exception(
    cluster: Cluster,
) -> None:
    cluster.plane.namespace("agents", "restricted")
    values = CHART / "ci" / "agents-values.yaml"
    named = ("--values", str(values), "--set", "hosts.namespace.name=nodes")
    cluster.install("far", "agents", CHART, *named, "--set", "hosts.namespace.create=true")
    owned = cluster.running("agents")
    assert list(owned) == ["ReplicaSet"]
    assert len(owned["ReplicaSet"]) == 2
    nodes = cluster.running("nodes")
    assert list(nodes) == ["DaemonSet"]
    assert len(nodes["DaemonSet"]) == 2, "one on each node"
    labels = cluster.plane.ask("GET", "/api/v1/namespaces/nodes")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_agents_for_host_files_are_refused_where_no_exception_is_made(cluster: Cluster) -> None:
    cluster.plane.namespace("strict", "restricted")
    cluster.plane.namespace("strict-nodes", "baseline")
    values = ("--values", str(CHART / "ci" / "agents-values.yaml"))
    done = cluster.helm(
        "install", "far", str(CHART), "--namespace", "strict", *values,
        "--set", "hosts.namespace.name=strict-nodes", "--wait", "--timeout", "8s",
    )  # fmt: skip
    assert done.returncode != 0, "the DaemonSet came up"
    assert "hostPath volumes" in cluster.plane.events("strict-nodes")
    assert cluster.plane.pods("strict-nodes") == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot != true"),
        ("drop: [ALL]", "add: [NET_ADMIN]", "unrestricted capabilities"),
    ],
)
def test_a_spoilt_chart_is_refused_by_the_api_server(
    cluster: Cluster, tmp_path: Path, before: str, after: str, said: str
) -> None:
    namespace = f"spoilt-{'user' if 'NonRoot' in before else 'capability'}"
    spoilt = tmp_path / "opentrail"
    shutil.copytree(CHART, spoilt)
    helpers = spoilt / "templates" / "_helpers.tpl"
    text = helpers.read_text()
    assert before in text
    helpers.write_text(text.replace(before, after))
    cluster.plane.namespace(namespace, "restricted")
    cluster.plane.volume(f"for-{namespace}", "50Gi")
    done = cluster.helm(
        "install", "rel", str(spoilt), "--namespace", namespace, "--wait", "--timeout", "8s"
    )
    assert done.returncode != 0, "it was admitted"
    assert cluster.plane.pods(namespace) == []
    events = cluster.plane.events(namespace)
    assert 'violates PodSecurity "restricted:latest"' in events
    assert said in events


def test_an_upgrade_from_the_former_chart_keeps_the_history_and_so_does_an_uninstall(
    cluster: Cluster,
) -> None:
    cluster.plane.namespace("upgraded", "restricted")
    cluster.plane.volume("for-upgraded", "50Gi")
    cluster.install("rel", "upgraded", FORMER)
    claims = "/api/v1/namespaces/upgraded/persistentvolumeclaims"
    (before,) = cluster.plane.items(claims)
    done = cluster.helm(
        "upgrade", "rel", str(CHART), "--namespace", "upgraded", "--wait", "--timeout", WAIT
    )
    assert done.returncode == 0, f"{done.stderr}\n{cluster.plane.events('upgraded')}"
    assert cluster.running("upgraded") == {"StatefulSet": ["rel-opentrail-aggregator-0"]}
    version = revision(cluster, "upgraded")
    assert version != "opentrail-0.1.0", "the chart has to have a version of its own"
    (after,) = cluster.plane.items(claims)
    assert identity(after) == identity(before)
    done = cluster.helm("uninstall", "rel", "--namespace", "upgraded", "--wait")
    assert done.returncode == 0, done.stderr
    (left,) = cluster.plane.items(claims)
    assert identity(left) == identity(before)
    assert left["status"]["phase"] == "Bound"


def identity(claim: dict[str, Any]) -> tuple[str, str]:
    return claim["metadata"]["uid"], claim["spec"]["volumeName"]


def revision(cluster: Cluster, namespace: str) -> str:
    done = cluster.helm("list", "--namespace", namespace, "--output", "json")
    (release,) = json.loads(done.stdout)
    return str(release["chart"])
