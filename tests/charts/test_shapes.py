"""Every shape in ci/ is taken by helm, and its configuration by the product itself."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from opentrail.settings import load_settings
from opentrail_agent.config import AgentSettings
from opentrail_aggregator.config import AggregatorSettings
from tests.charts.rendering import CHART, ROOT, SHAPES, Rendered, helm, rendered

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda path: path.stem)


def test_there_are_shapes() -> None:
    assert len(SHAPES) >= 6


@pytest.mark.slow
@each_shape
def test_helm_lint_finds_nothing_in_strict_mode(shape: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(shape))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@each_shape
def test_the_product_takes_every_configuration_that_is_rendered(
    shape: Path, tmp_path: Path
) -> None:
    checked = 0
    for each in rendered(shape).of_kind("ConfigMap"):
        for name, text in each["data"].items():
            settings: dict[str, type] = {
                "aggregator.yaml": AggregatorSettings, "agent.yaml": AgentSettings,
            }  # fmt: skip
            if name in settings:
                (tmp_path / name).write_text(text)
                load_settings(settings[name], tmp_path / name, environment={})
                checked += 1
    assert checked >= 1


def test_schema_and_readme_are_what_the_generator_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "charts" / "generate.py"), "--check"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_value_is_documented() -> None:
    undocumented: list[str] = []
    table = (CHART / "README.md").read_text()

    def look(value: Any, path: str) -> None:
        if f"| `{path}` |" in table:
            return
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                look(inner, f"{path}.{key}")
        else:
            undocumented.append(path)

    for key, value in yaml.safe_load((CHART / "values.yaml").read_text()).items():
        look(value, key)
    assert undocumented == []


def test_no_object_of_the_schema_takes_keys_that_nobody_knows() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    # What Kubernetes itself checks when it gets it.
    for path in ("aggregator", "agents", "hosts", "monitoring", "certManager", "test"):
        assert schema["properties"][path]["additionalProperties"] is False
    assert schema["additionalProperties"] is False
    config = schema["properties"]["aggregator"]["properties"]["config"]
    assert config["additionalProperties"] is False
    assert all(
        each["additionalProperties"] is False
        for each in config["properties"].values()
        if each["type"] == "object"
    )


@pytest.mark.slow
def test_the_volume_is_kept_and_an_upgrade_may_change_nothing_that_is_fixed() -> None:
    stateful = rendered(CHART / "ci" / "default-values.yaml").one("StatefulSet")["spec"]
    assert stateful["replicas"] == 1
    assert stateful["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain", "whenScaled": "Retain",
    }  # fmt: skip
    # Kubernetes refuses an upgrade that changes one of these.
    fixed = json.dumps([stateful["volumeClaimTemplates"], stateful["selector"]])
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert version not in fixed
    assert "helm.sh/chart" not in fixed


@pytest.mark.slow
def test_several_agents_have_a_budget_and_are_spread() -> None:
    shape = rendered(CHART / "ci" / "certmanager-values.yaml")
    budget = shape.one("PodDisruptionBudget")["spec"]
    deployment = shape.one("Deployment")["spec"]
    assert budget["selector"] == deployment["selector"]
    keys = {
        each["topologyKey"] for each in deployment["template"]["spec"]["topologySpreadConstraints"]
    }
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert rendered(CHART / "ci" / "sharedfiles-values.yaml").of_kind("PodDisruptionBudget") == []


@pytest.mark.slow
def test_a_certificate_of_cert_manager_names_what_the_configuration_names() -> None:
    shape = rendered(CHART / "ci" / "certmanager-values.yaml")
    for ending, kind in (("agents", "Deployment"), ("hosts", "DaemonSet")):
        certificate = shape.one("Certificate", ending)
        workload = shape.one(kind)
        name = yaml.safe_load(shape.one("ConfigMap", ending)["data"]["agent.yaml"])["name"]
        assert certificate["spec"]["uris"] == [f"opentrail://agent/{name}"]
        assert certificate["metadata"]["namespace"] == workload["metadata"]["namespace"]
        volumes = workload["spec"]["template"]["spec"]["volumes"]
        secrets = [each["secret"]["secretName"] for each in volumes if "secret" in each]
        assert secrets == [certificate["spec"]["secretName"]]


@pytest.mark.slow
def test_agents_dial_a_name_that_is_in_the_aggregators_certificate() -> None:
    shape = rendered(CHART / "ci" / "certmanager-values.yaml")
    (address,) = agent_config(shape, "agents")["ship"]["addresses"]
    host = address.rpartition(":")[0]
    assert host in shape.one("Certificate", "aggregator")["spec"]["dnsNames"]
    init = rendered(CHART / "ci" / "default-values.yaml").one("StatefulSet")
    (container,) = init["spec"]["template"]["spec"]["initContainers"]
    (hosts,) = [each["value"] for each in container["env"]]
    assert host in hosts.split()


@pytest.mark.slow
def test_pods_restart_when_their_configuration_changes_and_only_then() -> None:
    default = CHART / "ci" / "default-values.yaml"

    def checksum(*sets: str) -> str:
        pod = rendered(default, sets=sets).one("StatefulSet")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    assert checksum("aggregator.config.retention.days=30") != checksum()
    assert checksum("aggregator.persistence.size=60Gi", "commonLabels.a=b") == checksum()


def agent_config(shape: Rendered, ending: str) -> dict[str, Any]:
    text = shape.one("ConfigMap", ending)["data"]["agent.yaml"]
    found: dict[str, Any] = yaml.safe_load(text)
    return found
