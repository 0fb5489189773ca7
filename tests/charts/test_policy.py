"""The rendered pods keep to Pod Security *restricted*, and nobody has rights in the cluster.

The rules stand here once in Python, for every run; Kubernetes' own evaluator (psacheck) judges the
same manifests, so that a rule that is misread here is found. Only the agents for host files may
deviate, and only in what is named.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, NAMESPACE, SHAPES, rendered, tool

pytestmark = pytest.mark.slow
evaluated = pytest.mark.long  # psacheck takes minutes to build where it is not in the cache.
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda path: path.stem)

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def violations(pod: dict[str, Any]) -> Iterator[str]:
    """Where a pod is not as *restricted* wants it."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", []):
        for kind in volume.keys() - {"name"} - VOLUMES:
            yield f"volume {kind}"
    of_pod = pod.get("securityContext", {})
    containers = [*pod.get("initContainers", []), *pod["containers"]]
    for container in containers:
        own = container.get("securityContext", {})
        both = of_pod | own
        if both.get("runAsNonRoot") is not True:
            yield "runAsNonRoot"
        if both.get("runAsUser", 1) == 0:
            yield "runAsUser 0"
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if own.get("privileged"):
            yield "privileged"
        if "ALL" not in own.get("capabilities", {}).get("drop", []):
            yield "capabilities"
        if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities added"
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield "hostPort"


@each_shape
def test_every_pod_but_those_for_host_files_is_restricted(shape: Path) -> None:
    pods = rendered(shape).pods()
    assert pods
    for kind, name, pod in pods:
        if kind != "DaemonSet":
            assert list(violations(pod)) == [], f"{kind} {name}"


def test_agents_for_host_files_deviate_in_what_is_named_and_nothing_else() -> None:
    as_root = rendered(CHART / "ci" / "certmanager-values.yaml")
    as_user = rendered(CHART / "ci" / "agents-values.yaml")
    (pod,) = [spec for kind, _, spec in as_root.pods() if kind == "DaemonSet"]
    assert set(violations(pod)) == {"volume hostPath", "runAsNonRoot", "runAsUser 0"}
    (pod,) = [spec for kind, _, spec in as_user.pods() if kind == "DaemonSet"]
    assert set(violations(pod)) == {"volume hostPath"}


def test_the_exception_is_made_for_a_namespace_that_holds_nothing_else() -> None:
    shape = rendered(CHART / "ci" / "certmanager-values.yaml")
    namespace = shape.one("Namespace")["metadata"]
    assert namespace["name"] != NAMESPACE
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    inside = {
        each["kind"]
        for each in shape.objects
        if each["metadata"].get("namespace") == namespace["name"]
    }
    assert inside == {"DaemonSet", "ConfigMap", "ServiceAccount", "NetworkPolicy", "Certificate"}
    others = [each for each in shape.objects if "namespace" in each["metadata"]]
    assert {each["metadata"]["namespace"] for each in others} == {NAMESPACE, namespace["name"]}


def test_host_folders_are_read_only_but_for_the_state() -> None:
    for values in ("certmanager", "agents"):
        shape = rendered(CHART / "ci" / f"{values}-values.yaml")
        (pod,) = [spec for kind, _, spec in shape.pods() if kind == "DaemonSet"]
        hostly = {each["name"] for each in pod["volumes"] if "hostPath" in each}
        (container,) = pod["containers"]
        writable = {
            each["name"]
            for each in container["volumeMounts"]
            if each["name"] in hostly and not each.get("readOnly")
        }
        assert writable == {"state"}


@each_shape
def test_nobody_has_rights_or_a_token(shape: Path) -> None:
    found = rendered(shape)
    kinds = {each["kind"] for each in found.objects}
    assert not kinds & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    for account in found.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for kind, name, pod in found.pods():
        assert pod["automountServiceAccountToken"] is False, f"{kind} {name}"
        assert pod["enableServiceLinks"] is False, f"{kind} {name}"


@each_shape
def test_every_container_is_bounded_and_has_a_root_that_cannot_be_written(shape: Path) -> None:
    for kind, name, pod in rendered(shape).pods():
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            where = f"{kind} {name} {container['name']}"
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, where
            assert container["resources"]["limits"]["memory"], where
            assert container["resources"]["requests"]["cpu"], where
            assert not container["image"].endswith(":latest"), where
        if kind != "Pod":
            probed = pod["containers"][0]
            assert {"livenessProbe", "readinessProbe"} <= probed.keys(), f"{kind} {name}"


@each_shape
def test_every_pod_is_under_a_network_policy_for_both_directions(shape: Path) -> None:
    found = rendered(shape)
    policies = [
        (each["metadata"]["namespace"], each["spec"]) for each in found.of_kind("NetworkPolicy")
    ]
    for each in found.objects:
        if "template" not in each.get("spec", {}):
            continue
        labels = each["spec"]["template"]["metadata"]["labels"]
        covering = [
            spec
            for namespace, spec in policies
            if namespace == each["metadata"]["namespace"]
            and spec["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        assert len(covering) == 1, each["metadata"]["name"]
        assert covering[0]["policyTypes"] == ["Ingress", "Egress"]
        assert {} not in covering[0].get("ingress", []), "an empty rule lets everybody in"


def test_a_service_finds_its_pods_and_no_others() -> None:
    shape = rendered(CHART / "ci" / "certmanager-values.yaml")
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in shape.objects
        if "template" in each.get("spec", {})
    }
    for service in shape.of_kind("Service"):
        chosen = [
            name
            for name, found in labels.items()
            if service["spec"]["selector"].items() <= found.items()
        ]
        assert chosen == [service["metadata"]["name"]]


def test_no_secret_is_made_or_written_into_a_manifest() -> None:
    for shape in SHAPES:
        found = rendered(shape)
        assert found.of_kind("Secret") == []
        assert "PRIVATE KEY" not in found.text


@evaluated
@each_shape
def test_kubernetes_own_evaluator_says_the_same(shape: Path) -> None:
    found = rendered(shape)
    judged = subprocess.run(
        [tool("psacheck"), "restricted"], input=found.text, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stderr
    verdicts = [json.loads(line) for line in judged.stdout.splitlines()]
    ours = {(kind, name): bool(set(violations(pod))) for kind, name, pod in found.pods()}
    assert {(each["kind"], each["name"]): not each["allowed"] for each in verdicts} == ours
    for each in verdicts:
        if not each["allowed"]:
            assert each["kind"] == "DaemonSet"
            reasons = {violation["reason"] for violation in each["violations"]}
            assert "restricted volume types" in reasons
            assert reasons <= {
                "restricted volume types", "runAsNonRoot != true", "runAsUser=0",
            }  # fmt: skip


@evaluated
def test_the_evaluator_and_ours_both_refuse_what_is_spoilt() -> None:
    shape = rendered(CHART / "ci" / "default-values.yaml")
    for before, after in (
        ("runAsNonRoot: true", "runAsNonRoot: false"),
        ("drop: [ALL]", "add: [NET_ADMIN]"),
        ("type: RuntimeDefault", "type: Unconfined"),
        ("allowPrivilegeEscalation: false", "privileged: true"),
        ("emptyDir: {medium: Memory, sizeLimit: 64Mi}", "hostPath: {path: /}"),
    ):
        assert before in shape.text
        spoilt = shape.text.replace(before, after)
        (pod,) = [
            each["spec"]["template"]["spec"]
            for each in yaml.safe_load_all(spoilt)
            if each and each["kind"] == "StatefulSet"
        ]
        assert list(violations(pod)) != [], after
        judged = subprocess.run(
            [tool("psacheck"), "restricted"], input=spoilt, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert json.loads(judged.stdout)["allowed"] is False, after


def test_names_and_labels_are_short_enough_for_kubernetes() -> None:
    long = rendered(CHART / "ci" / "certmanager-values.yaml", sets=(f"nameOverride={'n' * 40}",))
    for each in long.objects:
        assert len(each["metadata"]["name"]) <= 63
        for value in each["metadata"].get("labels", {}).values():
            assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value)
