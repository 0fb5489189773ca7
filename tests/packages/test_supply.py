"""`make sbom` and `make audit`: the bill is CycloneDX's and whole; an audit not done says so."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from packages.supply.advisories import KNOWN, NOBODY, NoAnswerError, ask
from packages.supply.bill import SPECIFICATION, bill
from packages.supply.pinned import AGENT, AGGREGATOR, Pinned, SupplyError, read_pinned
from referencing import Registry, Resource

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return bill()


def schema(name: str) -> dict[str, Any]:
    """As CycloneDX publishes it, with what is not to be fetched beside it."""
    text = (files("cyclonedx.schema") / "_res" / name).read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_bill_is_what_cyclonedx_says_it_is(document: dict[str, Any]) -> None:
    registry: Registry[Any] = Registry()
    for name in ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json"):
        resource = Resource.from_contents(schema(name))
        registry = registry.with_resource(f"http://cyclonedx.org/schema/{name}", resource)
    judge = Draft7Validator(schema(f"bom-{SPECIFICATION}.SNAPSHOT.schema.json"), registry=registry)
    assert [error.message for error in judge.iter_errors(document)] == []
    spoilt = document | {"components": [{"type": "libary", "name": "x"}]}
    assert not judge.is_valid(spoilt)


def test_everything_that_is_pinned_is_in_the_bill(document: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {
        (name.lower().replace("_", "-"), version)
        for name, _, version in (line.partition("==") for line in lines if "==" in line)
    }
    listed = {(each["name"].replace(".", "-"), each["version"]) for each in document["components"]}
    assert {(name.replace(".", "-"), version) for name, version in pins} == listed


def test_each_role_has_what_it_runs_with_and_no_more(document: dict[str, Any]) -> None:
    roles: dict[str, set[str]] = {AGENT: set(), AGGREGATOR: set()}
    for each in document["components"]:
        for role in each.get("properties", []):
            roles[role["value"]].add(each["name"])
    assert {"grpcio", "protobuf", "zstandard", "msgspec", "pyyaml", "boto3"} <= roles[AGENT]
    assert {"tantivy", "aiohttp", "cryptography", "opensearch-py"} <= roles[AGGREGATOR]
    assert not {"tantivy", "aiohttp"} & roles[AGENT]
    assert not {"pytest", "moto", "mypy"} & (roles[AGENT] | roles[AGGREGATOR])
    scopes = {each["name"]: each["scope"] for each in document["components"]}
    assert (scopes["grpcio"], scopes["tantivy"], scopes["pytest"]) == (
        "required", "optional", "excluded",
    )  # fmt: skip


def test_dependencies_lead_to_components(document: dict[str, Any]) -> None:
    there = {each["bom-ref"] for each in document["components"]}
    there.add(document["metadata"]["component"]["bom-ref"])
    assert {each["ref"] for each in document["dependencies"]} == there
    for each in document["dependencies"]:
        assert set(each["dependsOn"]) <= there
    aiohttp = next(
        each for each in document["dependencies"] if each["ref"].startswith("pkg:pypi/aiohttp@")
    )
    assert any(need.startswith("pkg:pypi/yarl@") for need in aiohttp["dependsOn"])


def test_the_same_tree_gives_the_same_bill(document: dict[str, Any]) -> None:
    assert bill() == document


def test_a_pin_that_is_not_what_is_installed_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "constraints.txt"
    wrong.write_text("grpcio==0.1\n")
    with pytest.raises(SupplyError, match=r"grpcio .* is installed, 0\.1 is pinned"):
        read_pinned(wrong)


@contextmanager
def service(results: Any, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """An advisory service that says `results`; its address, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, json.loads(body)))
            queries = asked[-1][1]["queries"]
            answer = results(queries) if callable(results) else results
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"results": answer}).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """The test says what it wants to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


TWO = [
    Pinned("grpcio", "1.0", "", [], {AGENT}),
    Pinned("aiohttp", "3.0", "", [], {AGGREGATOR}),
]


def test_every_pinned_version_is_asked_about_in_one_request() -> None:
    with service([{}, {"vulns": [{"id": "PYSEC-1"}, {"id": "GHSA-2"}]}]) as (url, asked):
        assert ask(url, TWO) == [(TWO[0], []), (TWO[1], ["PYSEC-1", "GHSA-2"])]
    ((path, body),) = asked
    assert path == "/v1/querybatch"
    assert body["queries"][0] == {
        "package": {"name": "grpcio", "ecosystem": "PyPI"}, "version": "1.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("results", "status"),
    [([{}], 200), ("no list", 200), ([None, {}], 200), ([{}, {}], 500),
     ([{"next_page_token": "t"}, {}], 200)],
)  # fmt: skip
def test_what_is_no_whole_answer_is_no_answer(results: Any, status: int) -> None:
    with service(results, status) as (url, _), pytest.raises(NoAnswerError):
        ask(url, TWO)


def audit(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "packages.supply.advisories", "--service", url],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
    )  # fmt: skip


def test_where_nobody_answers_the_audit_says_so_loudly_and_fails() -> None:
    with service([]) as (url, _):
        pass
    done = audit(url)
    assert done.returncode == NOBODY
    assert "NOT DONE. No advisory service answers here" in done.stderr
    assert "neither good nor bad" in done.stderr
    assert done.stdout == ""


def test_an_advisory_fails_the_audit_and_is_named_with_its_role() -> None:
    def known(queries: list[Any]) -> list[Any]:
        names = [each["package"]["name"] for each in queries]
        return [{"vulns": [{"id": "PYSEC-9"}]} if name == "aiohttp" else {} for name in names]

    with service(known) as (url, _):
        done = audit(url)
    assert done.returncode == KNOWN
    assert "(aggregator): PYSEC-9" in done.stdout
    with service(lambda queries: [{} for _ in queries]) as (url, _):
        assert audit(url).returncode == 0


def test_make_has_both() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "-m packages.supply.bill" in makefile
    assert "-m packages.supply.advisories" in makefile
