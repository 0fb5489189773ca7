"""What the pod does before its first start, done for real: the home it makes can be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.charts.rendering import CHART, rendered

pytestmark = pytest.mark.slow
PROGRAMS = Path(sys.executable).parent


def first_start(home: Path) -> None:
    """The init container's command, with another home."""
    pod = rendered(CHART / "ci" / "default-values.yaml").one("StatefulSet")["spec"]["template"]
    (container,) = pod["spec"]["initContainers"]
    arguments = [each.replace("/var/lib/opentrail", str(home)) for each in container["args"]]
    given = {each["name"]: each["value"] for each in container["env"]}
    subprocess.run(
        [*container["command"], *arguments],
        env=os.environ | given | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
        check=True, timeout=60, capture_output=True,
    )  # fmt: skip


def test_it_makes_a_key_and_certificates_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    first_start(home)
    made = {name: (home / name).read_bytes() for name in ("keys/local.json", "pki/server.crt")}
    assert (home / "keys" / "local.json").stat().st_mode & 0o777 == 0o600
    first_start(home)
    assert {name: (home / name).read_bytes() for name in made} == made


def test_the_command_of_the_readme_makes_an_agents_certificate(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    first_start(home)
    server = (home / "pki" / "server.crt").read_bytes()
    readme = (CHART / "README.md").read_text()
    command = "python -m opentrail_aggregator.pki /var/lib/opentrail/pki --agent"
    assert command in readme
    pod = rendered(CHART / "ci" / "default-values.yaml").one("StatefulSet")["spec"]["template"]
    hosts = next(
        each["value"]
        for each in pod["spec"]["containers"][0]["env"]
        if each["name"] == "CERTIFICATE_HOSTS"
    )
    subprocess.run(
        [sys.executable, "-m", "opentrail_aggregator.pki", str(home / "pki"), "--agent",
         "rel-opentrail-agents", "--", *hosts.split()],
        check=True, timeout=60,
    )  # fmt: skip
    assert (home / "pki" / "agent-rel-opentrail-agents.crt").exists()
    assert (home / "pki" / "server.crt").read_bytes() == server, "agents would have to be told"
