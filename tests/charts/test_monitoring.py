"""Alerts and dashboard speak of metrics that there are, and alerts of sections that are written."""

import json
import re
from typing import Any, get_args

import pytest
import yaml

from opentrail_aggregator.metrics import MetricName
from tests.charts.rendering import CHART, ROOT, rendered

METRIC = re.compile(r"\bopentrail_[a-z_]+\b")
FAMILY = re.compile(r'__name__=~"(opentrail_[^"]+)"')
KNOWN = frozenset(get_args(MetricName))
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["alerts"]


def metrics_in(expression: str) -> set[str]:
    families = {
        name
        for pattern in FAMILY.findall(expression)
        for name in KNOWN
        if re.fullmatch(pattern, name)
    }
    return set(METRIC.findall(FAMILY.sub("", expression))) | families


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_metrics_that_there_are(alert: dict[str, Any]) -> None:
    found = metrics_in(alert["expr"])
    assert found, "it names no metric"
    assert found - KNOWN == set()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_leads_to_a_section_that_says_what_to_do(alert: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    sections = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-"): body
        for heading, body in re.findall(r"^#{2,4} (.+)\n((?:(?!#).*\n?)*)", page, re.M)
    }
    assert alert["runbook"] in sections
    assert len(sections[alert["runbook"]].split()) > 15, "the section says too little"


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 10
    assert {name for each in expressions for name in metrics_in(each)} - KNOWN == set()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.slow
def test_prometheus_comes_with_a_key_and_checks_who_answers() -> None:
    shape = rendered(CHART / "ci" / "monitoring-values.yaml")
    monitor = shape.one("ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["basicAuth"]["password"] == {"name": "trail-auditor", "key": "password"}
    assert "insecureSkipVerify" not in endpoint["tlsConfig"]
    service = shape.one("Service", "-http")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.slow
def test_every_alert_is_rendered_with_its_runbook() -> None:
    rule = rendered(CHART / "ci" / "monitoring-values.yaml").one("PrometheusRule")
    (group,) = rule["spec"]["groups"]
    assert [each["alert"] for each in group["rules"]] == [each["alert"] for each in ALERTS]
    assert [each["expr"] for each in group["rules"]] == [each["expr"] for each in ALERTS]
    for each in group["rules"]:
        assert each["annotations"]["runbook_url"].startswith("docs/operating.md#alert-")


@pytest.mark.slow
def test_metrics_are_not_reachable_until_somebody_says_so() -> None:
    shape = rendered(CHART / "ci" / "default-values.yaml")
    assert [each["metadata"]["name"] for each in shape.of_kind("Service")] == [
        "rel-opentrail-aggregator"
    ]
    config = yaml.safe_load(shape.one("ConfigMap")["data"]["aggregator.yaml"])
    assert "http" not in config
