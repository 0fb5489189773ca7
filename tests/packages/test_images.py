"""The Dockerfiles, linted by the rules that matter here; building them is in test_image_build."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / "packages" / "docker").glob("*.Dockerfile"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def instructions(path: Path) -> list[tuple[str, str]]:
    """(word, rest), with continued lines joined."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.M).replace("\\\n", " ")
    found = []
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        found.append((word, re.sub(r" +", " ", rest.strip())))
    return found


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    start = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def of(stage: list[tuple[str, str]], wanted: str) -> list[str]:
    return [rest for word, rest in stage if word == wanted]


def test_each_role_has_a_dockerfile() -> None:
    assert [path.stem for path in FILES] == ["agent", "aggregator"]


@each_file
def test_the_last_stage_has_only_what_runs(path: Path) -> None:
    assert of(instructions(path), "FROM") == ["${BASE} AS build", "${BASE}"]
    stage = last_stage(path)
    assert of(stage, "COPY") == ["--from=build /opt/opentrail /opt/opentrail"]
    assert not of(instructions(path), "ADD")
    assert not any("pip" in rest or "apt" in rest for rest in of(stage, "RUN"))


@each_file
def test_nothing_is_fetched_while_it_is_built(path: Path) -> None:
    (install,) = [rest for rest in of(instructions(path), "RUN") if "pip install" in rest]
    assert "--no-index --find-links /wheels" in install


@each_file
def test_the_base_can_be_another_and_is_pinned_to_a_minor(path: Path) -> None:
    assert of(instructions(path), "ARG")[0] == "BASE=docker.io/library/python:3.11-slim"


@each_file
def test_it_runs_as_a_number_that_is_not_root(path: Path) -> None:
    # Kubernetes' runAsNonRoot cannot tell who a name is.
    assert of(last_stage(path), "USER") == ["65532:65532"]


@each_file
def test_it_says_whether_it_is_well(path: Path) -> None:
    (check,) = of(last_stage(path), "HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    module = command[2].replace(".", "/") + ".py"
    assert any((ROOT / room / module).exists() for room in ("agent", "aggregator"))
    assert command[-1] in " ".join(of(last_stage(path), "RUN"))


@each_file
def test_it_is_labelled(path: Path) -> None:
    (labels,) = of(last_stage(path), "LABEL")
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


@each_file
def test_it_starts_the_role_and_gets_signals_itself(path: Path) -> None:
    (entry,) = of(last_stage(path), "ENTRYPOINT")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert json.loads(entry) == [f"opentrail-{path.stem}"]
    assert json.loads(entry)[0] in project["scripts"]


def test_the_aggregators_image_has_every_extra_that_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # What `enrol` needs, the extra `aggregator` brings too.
    wanted = set(project["optional-dependencies"]) - {"dev", "enrol"}
    (install,) = [rest for rest in of(instructions(FILES[1]), "RUN") if "pip install" in rest]
    found = re.search(r"opentrail\[([a-z0-9,]+)\]", install)
    assert found
    assert set(found[1].split(",")) == wanted
    assert f"'.[{found[1]}]'" in (ROOT / "Makefile").read_text()


def test_images_and_chart_agree() -> None:
    values = yaml.safe_load((ROOT / "charts/opentrail/values.yaml").read_text())
    chart = yaml.safe_load((ROOT / "charts/opentrail/Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert values["aggregator"]["image"]["repository"] == "opentrail-aggregator"
    assert values["agents"]["image"] == values["hosts"]["image"]
    for path in FILES:
        assert of(instructions(path), "ARG")[1] == f"VERSION={project['version']}"
