"""A real OpenSearch with https, passwords and the role that docs/opensearch.md gives OpenTrail."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.opensearch.delivery import Batch, Sender
from tests.aggregator.consolidate.world import line
from tests.aggregator.opensearch.harness import Room
from tests.aggregator.opensearch.store import document
from tests.real.opensearch import OpenSearchNode
from tests.real.opensearch_install import MissingToolError, install_secured
from tests.real.opensearch_secured import PASSWORD, secure

pytestmark = pytest.mark.slow
DOCS = Path(__file__).resolve().parents[3] / "docs" / "opensearch.md"


def documented_role() -> str:
    found = re.search(r"```yaml\n(cluster_permissions:.*?)```", DOCS.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearchNode]:
    try:
        home, java = install_secured()
    except MissingToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no real OpenSearch, these tests are NOT run; missing: {error}")
    node = OpenSearchNode(home, java, tmp_path_factory.mktemp("secured"))
    secure(node, home, documented_role())
    node.start()
    yield node
    node.stop()


@pytest.fixture
def make(secured: OpenSearchNode, tmp_path: Path) -> Iterator[Callable[..., Room]]:
    made: list[Room] = []

    def room(**options: Any) -> Room:
        made.append(Room(tmp_path / "home", secured.url, **options))
        return made[-1]

    yield room
    for each in made:
        each.close()
    secured.clear()


def test_with_the_documented_role_events_come_in_are_found_and_expire(
    make: Callable[..., Room], secured: OpenSearchNode, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("not this one\n")
    authority = secured.folder / "config" / "ca.pem"
    room = make(days=3, user="ot", password_file=password, authority=authority)
    room.send(("a", 10), ("edge", 3 * 86_400))
    room.run_until(lambda: "opensearch.failed" in room.problems())
    assert "401" in room.problems()["opensearch.failed"]
    password.write_text(PASSWORD + "\n")
    room.run(60)
    assert room.problems() == {}
    assert room.found() == ["a", "edge"]
    for _ in range(40):
        room.clock.advance(86_400 / 40)
        room.indexer.step()
    room.run(60)
    assert room.found() == ["a"]
    assert room.balance() == (2, 2)


def test_a_server_of_another_authority_is_not_spoken_to_until_the_file_names_it(
    make: Callable[..., Room], secured: OpenSearchNode, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    config = secured.folder / "config"
    authority = tmp_path / "ca.pem"
    authority.write_bytes((config / "node.pem").read_bytes())
    room = make(authority=authority, user="ot", password_file=password)
    room.send(("a", 10))
    room.run_until(lambda: "opensearch.failed" in room.problems())
    assert "certificate" in room.problems()["opensearch.failed"].lower()
    authority.write_bytes((config / "ca.pem").read_bytes())
    room.run(60)
    assert room.problems() == {}
    assert room.found() == ["a"]


def test_a_role_that_may_only_write_is_told_what_it_lacks_and_loses_nothing(
    make: Callable[..., Room], secured: OpenSearchNode, tmp_path: Path
) -> None:
    """It may create and write days, and read nothing: what is in cannot be counted, nor doubled."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    config = secured.folder / "config"
    room = make(authority=config / "ca.pem", user="writer", password_file=password)
    room.send(("a", 10), ("b", 20))
    room.run_until(lambda: "opensearch.failed" in room.problems())
    assert "security_exception" in room.problems()["opensearch.failed"]
    assert "no permissions" in room.problems()["opensearch.failed"]
    room.close()
    day, made = document(line("c"), event_id="c")
    sender = Sender(room.cluster, room.clock, room.metrics, threading.Event())
    for _ in range(2):
        batch = sender.deliver(Batch([(day, made)]))
        assert (batch.held, batch.earlier) == ([], 0)
    status, found = secured.ask("POST", "/opentrail-events-*/_search?q=opentrail.id:c&size=0")
    assert status == 200
    secured.ask("POST", "/opentrail-events-*/_refresh")
    _, found = secured.ask("POST", "/opentrail-events-*/_search?q=opentrail.id:c&size=0")
    assert found["hits"]["total"]["value"] == 1
