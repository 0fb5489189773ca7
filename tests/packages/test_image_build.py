"""Both images, built from their Dockerfiles by Debian's buildah, and started.

No engine and no registry is needed.  The base is Debian's own Python, put together by mmdebstrap,
in the place of docker.io's `python:3.11-slim`, which cannot be had everywhere; buildah runs its
steps and the results in a chroot.  So this shows that the Dockerfiles build from the wheelhouse and
that what comes out starts as its user and does its work.  It does not show what an engine adds: the
read-only root, a network of its own, the health check on a timer.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.processes import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
STORAGE = "OPENTRAIL_TEST_IMAGES"
"""A folder in which both images lie already, for trying things out by hand."""
STEP_SECONDS = 900
START_SECONDS = 120
USER = 65532

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("images")]


class Buildah:
    """buildah over a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._command = [
            "buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run"),
            "--storage-driver", "vfs",
        ]  # fmt: skip

    def __call__(self, *arguments: str, seconds: int = STEP_SECONDS) -> str:
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, timeout=seconds, cwd=ROOT
        )
        assert done.returncode == 0, f"buildah {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def inside(self, container: str, *command: str, **variables: str) -> list[str]:
        """The command line that runs `command` in a container, as its user, in a chroot."""
        given = [each for name, value in variables.items() for each in ("--env", f"{name}={value}")]
        return [*self._command, "run", "--isolation", "chroot", *given, container, "--", *command]

    def run(self, container: str, *command: str, code: int = 0, **variables: str) -> str:
        done = subprocess.run(
            self.inside(container, *command, **variables),
            capture_output=True, text=True, timeout=START_SECONDS,
        )  # fmt: skip
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def running(
        self, container: str, *command: str, **variables: str
    ) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            self.inside(container, *command, **variables),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            print(" ".join(command), process.communicate(timeout=60)[0][-3000:], sep="\n")


def missing() -> list[str]:
    tools = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    return tools if os.geteuid() == 0 else [*tools, "root"]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """With both images in it: localhost/opentrail-agent and localhost/opentrail-aggregator."""
    if lacking := missing():
        said = f"images are NOT built here; missing: {', '.join(lacking)}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    if STORAGE in os.environ:
        yield Buildah(Path(os.environ[STORAGE]))
        return
    folder = tmp_path_factory.mktemp("images")
    made = Buildah(folder)
    base = folder / "base.tar"
    call(
        "mmdebstrap", "--quiet", "--variant=minbase",
        "--include=python3,python3-venv,ca-certificates", "bookworm", str(base),
    )  # fmt: skip
    empty = made("from", "scratch")
    made("add", "--quiet", empty, str(base), "/")
    made("commit", "--quiet", "--rm", empty, "localhost/base")
    base.unlink()
    context = folder / "build"
    call(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "wheel",
        "--quiet", "--constraint", "constraints.txt", "--wheel-dir", str(context / "wheels"),
        ".[aggregator,opensearch,s3]",
    )  # fmt: skip
    for role in ("agent", "aggregator"):
        made(
            "bud", "--quiet", "--format", "docker", "--isolation", "chroot",
            "--build-arg", "BASE=localhost/base", "--build-arg", "REVISION=of-the-test",
            "--tag", f"localhost/opentrail-{role}",
            "--file", f"packages/docker/{role}.Dockerfile", str(context),
        )  # fmt: skip
    yield made
    shutil.rmtree(folder, ignore_errors=True)


def call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=STEP_SECONDS, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def containers(buildah: Buildah) -> Iterator[dict[str, str]]:
    """One of each role."""
    found = {
        role: buildah("from", "--pull-never", f"localhost/opentrail-{role}")
        for role in ("agent", "aggregator")
    }
    yield found
    if STORAGE in os.environ:  # Elsewhere they go with the storage.
        for each in found.values():
            buildah("rm", each)


@pytest.mark.parametrize("role", ["agent", "aggregator"])
def test_the_image_says_how_it_is_run(buildah: Buildah, role: str) -> None:
    inspected = json.loads(buildah("inspect", "--type", "image", f"localhost/opentrail-{role}"))
    config: dict[str, Any] = inspected["Docker"]["config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == [f"opentrail-{role}"]
    assert config["Cmd"] == ["run"]
    assert f"opentrail_{role}.probe" in config["Healthcheck"]["Test"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("role", ["agent", "aggregator"])
def test_the_entry_point_starts_as_a_user_who_can_write_its_folder_only(
    buildah: Buildah, containers: dict[str, str], role: str
) -> None:
    container = containers[role]
    assert f"opentrail-{role} 0.1.0" in buildah.run(container, f"opentrail-{role}", "--version")
    who = buildah.run(container, "sh", "-c", "id -u; touch mine && rm mine; pwd")
    assert who.split() == [str(USER), "/var/lib/opentrail" + ("-agent" * (role == "agent"))]
    buildah.run(container, "sh", "-c", "touch /opt/opentrail/x", code=1)
    buildah.run(container, "python", "-m", "pip", "--version", code=1)


def test_what_one_image_captures_is_found_in_the_other(
    buildah: Buildah, containers: dict[str, str]
) -> None:
    """Both started by their entry points, each well by its own health check, an event through."""
    home, state = "/var/lib/opentrail", "/var/lib/opentrail-agent"
    http, grpc = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    listen = {"OPENTRAIL_HOME": home, "OPENTRAIL_HTTP_LISTEN": http, "OPENTRAIL_GRPC_LISTEN": grpc}
    aggregator, agent = containers["aggregator"], containers["agent"]
    first = (
        f"umask 077; mkdir -p {home}/keys && "
        f"python -m opentrail_aggregator.pki {home}/pki --agent web-1 -- 127.0.0.1 && "
        f"opentrail keys create admin --home {home} --key-file {home}/keys/local.json"
    )
    buildah.run(aggregator, "sh", "-euc", first)
    pki = {
        name: buildah.run(aggregator, "cat", f"{home}/pki/{name}")
        for name in ("ca.crt", "agent-web-1.crt", "agent-web-1.key")
    }
    config = {
        "name": "web-1",
        "state": state,
        "ship": {
            "addresses": [grpc],
            "tls": {
                "ca": f"{state}/ca.crt",
                "certificate": f"{state}/agent-web-1.crt",
                "key": f"{state}/agent-web-1.key",
            },
        },
        "capture": {"watch": [{"path": f"{state}/in/*.json"}]},
    }
    prepare = [f"mkdir -p {state}/in; umask 077"]
    prepare += [f"cat > {state}/{name} <<'END'\n{text}\nEND" for name, text in pki.items()]
    prepare += [f"cat > {state}/agent.yaml <<'END'\n{json.dumps(config)}\nEND"]
    buildah.run(agent, "sh", "-euc", "\n".join(prepare))
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    event = {
        "eventTime": now, "eventID": "of-the-images", "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject", "awsRegion": "eu-west-1", "recipientAccountId": "111122223333",
    }  # fmt: skip
    run = ("opentrail-agent", "run", "--config", f"{state}/agent.yaml")
    with (
        buildah.running(aggregator, "opentrail-aggregator", "run", **listen),
        buildah.running(agent, *run),
    ):
        line = json.dumps(event)
        buildah.run(agent, "sh", "-euc", f"echo '{line}' > {state}/in/one.json")
        probe = ("python", "-m", "opentrail_aggregator.probe", "ready", home)
        until(lambda: answers(buildah, aggregator, *probe), "the aggregator is ready")
        probe = ("python", "-m", "opentrail_agent.probe", "ready", state)
        until(lambda: answers(buildah, agent, *probe), "the agent is ready")
        asked = (
            "opentrail",
            "lookup",
            "eventID:of-the-images",
            "--home",
            home,
            "--output",
            "jsonl",
        )
        until(lambda: '"GetObject"' in said(buildah, aggregator, *asked), "the event is found")


def answers(buildah: Buildah, container: str, *command: str) -> bool:
    return subprocess.run(buildah.inside(container, *command), capture_output=True).returncode == 0


def said(buildah: Buildah, container: str, *command: str) -> str:
    done = subprocess.run(buildah.inside(container, *command), capture_output=True, text=True)
    return done.stdout


def until(is_so: Any, what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_so():
        assert time.monotonic() < end, f"not within {START_SECONDS} s: {what}"
        time.sleep(0.5)
