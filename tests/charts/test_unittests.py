"""The suites beside the chart, by helm-unittest: what a person who changes a template runs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.charts.rendering import CHART, tool

pytestmark = pytest.mark.slow
SUITES = "unittests/*_test.yaml"


def unittest(chart: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("helm-unittest"), "--file", SUITES, str(chart)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_every_suite_passes() -> None:
    done = unittest(CHART)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(CHART.glob(SUITES)))} passed" in done.stdout


def test_a_chart_that_does_something_else_fails_them(tmp_path: Path) -> None:
    other = tmp_path / "opentrail"
    shutil.copytree(CHART, other)
    template = other / "templates" / "aggregator" / "statefulset.yaml"
    text = template.read_text()
    assert "whenDeleted: Retain" in text
    template.write_text(text.replace("whenDeleted: Retain", "whenDeleted: Delete"))
    assert unittest(other).returncode != 0
