"""Wheel and sdist: built, and what is in them; installed into an empty environment and started.

The build tool and the dependencies come from the package index, as for anybody.
"""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.system.processes import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = {"opentrail", "opentrail_agent", "opentrail_aggregator"}

pytestmark = pytest.mark.slow


def run(*command: str, cwd: Path = ROOT, code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=cwd)
    assert done.returncode == code, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def pip(python: str, *arguments: str) -> str:
    quiet = ["--disable-pip-version-check", "--no-input", "--quiet"]
    return run(python, "-m", "pip", *quiet, *arguments)


def environment(folder: Path) -> str:
    """The Python of a new, empty environment."""
    run(sys.executable, "-m", "venv", str(folder))
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one wheel and one sdist."""
    folder = tmp_path_factory.mktemp("distribution")
    python = environment(folder / "tool")
    pip(python, "install", "hatchling>=1.26")
    out = folder / "dist"
    run(python, "-m", "hatchling", "build", "--directory", str(out))
    return out


def test_the_wheel_holds_the_rooms_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == ROOMS
    assert not [name for name in names if "test" in name.lower() or name.endswith(".pyc")]
    for path in ("opentrail/v1/ingest_pb2.py", "opentrail_agent/probe.py"):
        assert path in names


def test_every_module_of_the_tree_is_in_the_wheel(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    tracked = run("git", "ls-files", "--", "proto/opentrail", "agent", "aggregator").split()
    wanted = {path.partition("/")[2] for path in tracked if path.endswith(".py")}
    assert wanted - names == set()


def test_the_sdist_can_be_built_again_from(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
        packed.extractall(tmp_path, filter="data")
    for path in ("pyproject.toml", "README.md", "charts/opentrail/Chart.yaml",
                 "packages/systemd/opentrail-agent.service", "docs/operating.md"):  # fmt: skip
        assert path in names
    (tree,) = tmp_path.iterdir()
    again = tmp_path / "again"
    python = str(built.parent / "tool" / "bin" / "python")
    run(python, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(again),
        cwd=tree)  # fmt: skip
    (wheel,) = built.glob("*.whl")
    (second,) = again.glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(second) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


@pytest.mark.long
def test_an_agent_runs_from_the_base_install_alone(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    python = environment(tmp_path / "empty")
    pip(python, "install", "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    programs = Path(python).parent
    assert "opentrail-agent 0.1.0" in run(str(programs / "opentrail-agent"), "--version")
    config = tmp_path / "agent.yaml"
    config.write_text("ship:\n  addresses: [a.example:8471]\n  allow_plaintext: true\n")
    assert "can be used" in run(str(programs / "opentrail-agent"), "validate", "--config",
                                str(config))  # fmt: skip
    pip(python, "check")
    installed = {each["name"].lower() for each in json.loads(
        run(python, "-m", "pip", "--disable-pip-version-check", "list", "--format", "json")
    )}  # fmt: skip
    assert installed - {"pip", "setuptools", "typing_extensions"} == {
        "opentrail", "grpcio", "protobuf", "zstandard", "msgspec", "pyyaml",
    }  # fmt: skip


@pytest.mark.long
def test_an_aggregator_runs_from_the_sdist_with_its_extra(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    python = environment(tmp_path / "empty")
    pip(python, "install", "--constraint", str(ROOT / "constraints.txt"),
        f"{sdist}[aggregator,s3]")  # fmt: skip
    programs = Path(python).parent
    said = run(str(programs / "opentrail-aggregator"), "validate")
    assert "can be used" in said
    home = tmp_path / "home"
    started = subprocess.Popen(
        [str(programs / "opentrail"), "up", "--sample", "20", "--home", str(home),
         "--http", f"127.0.0.1:{free_port()}", "--grpc", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert started.stdout is not None
        first = started.stdout.readline()
        assert first.startswith("OpenTrail 0.1.0"), first
    finally:
        started.terminate()
        started.communicate(timeout=30)
