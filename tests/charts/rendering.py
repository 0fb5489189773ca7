"""helm, found or built; and what it makes of the chart."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts" / "opentrail"
TOOLS = ROOT / "tests" / "real" / "go_tools.sh"
SHAPES = sorted((CHART / "ci").glob("*-values.yaml"))
NAMESPACE, RELEASE = "trail", "rel"
BUILD_SECONDS = 2400


@cache
def tool(name: str) -> str:
    """Path of a tool of `go_tools.sh`: from the cache, built where CI is set, else a skip.

    For the control plane a line for each of its programs.
    """
    asked = [str(TOOLS), *([] if os.environ.get("CI") else ["--cached"]), name]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode != 0:
        if os.environ.get("CI"):
            pytest.fail(f"{name} cannot be built (CI runs every test):\n{done.stderr[-2000:]}")
        pytest.skip(f"{name} is not built: run {TOOLS.relative_to(ROOT)} (minutes, once)")
    return done.stdout.strip()


@dataclass(frozen=True)
class Rendered:
    """Manifests of one `helm template`."""

    text: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [each for each in yaml.safe_load_all(self.text) if each]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, ending: str = "") -> dict[str, Any]:
        found = [each for each in self.of_kind(kind) if each["metadata"]["name"].endswith(ending)]
        assert len(found) == 1, [each["metadata"]["name"] for each in found]
        return found[0]

    def pods(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(kind, name, pod spec) of everything that makes pods."""
        found = []
        for each in self.objects:
            if each["kind"] == "Pod":
                found.append((each["kind"], each["metadata"]["name"], each["spec"]))
            elif "template" in each.get("spec", {}):
                pod = each["spec"]["template"]["spec"]
                found.append((each["kind"], each["metadata"]["name"], pod))
        return found


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("helm"), *arguments], capture_output=True, text=True, timeout=120, cwd=ROOT
    )


def template(*values: Path, sets: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    arguments = ["template", RELEASE, str(CHART), "--namespace", NAMESPACE]
    for path in values:
        arguments += ["--values", str(path)]
    for each in sets:
        arguments += ["--set-json" if "=[" in each or "={" in each else "--set", each]
    return helm(*arguments)


@cache
def rendered(*values: Path, sets: tuple[str, ...] = ()) -> Rendered:
    done = template(*values, sets=sets)
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout)
