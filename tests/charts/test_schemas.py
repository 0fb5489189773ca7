"""Every shape is what the API of several Kubernetes versions takes, by their own schemas, strictly.

What is of other projects (cert-manager, the Prometheus operator) has no schema there and is left
out, by name.
"""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.charts.rendering import SHAPES, rendered

pytestmark = pytest.mark.slow
VERSIONS = ["1.27", "1.33", "1.37"]
"""The oldest that Chart.yaml takes, one between, and the newest."""
OF_OTHERS = {"Certificate", "ServiceMonitor", "PrometheusRule"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda path: path.stem)
def test_a_shape_is_what_this_kubernetes_takes(shape: Path, version: str) -> None:
    looked_at = 0
    for each in rendered(shape).objects:
        if each["kind"] not in OF_OTHERS:
            kubernetes_validate.validate(each, version, strict=True)
            looked_at += 1
    assert looked_at >= 3


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("before", "after"),
    [("replicas: 1", "replicas: one"), ("serviceName:", "servicename:")],
)
def test_what_is_spoilt_is_not_taken(version: str, before: str, after: str) -> None:
    text = rendered(next(path for path in SHAPES if "default" in path.stem)).text
    assert before in text
    (stateful,) = [
        each
        for each in yaml.safe_load_all(text.replace(before, after))
        if each and each["kind"] == "StatefulSet"
    ]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(stateful, version, strict=True)
