"""What the contract of all engines asks for, on whichever OpenSearch a module has as its node."""

from collections.abc import Iterator

import pytest

from tests.aggregator.opensearch.store import DirectStore
from tests.aggregator.search.contract import EVENTS
from tests.aggregator.search.oracle import Stored
from tests.real.opensearch import OpenSearchNode


@pytest.fixture(scope="module")
def events() -> list[Stored]:
    return EVENTS


@pytest.fixture
def filled(opensearch_node: OpenSearchNode, held_store: list[DirectStore]) -> DirectStore:
    # Tests with an empty `store` clear the server: it is filled again for the next one.
    if not held_store:
        made = DirectStore(opensearch_node)
        made.add(EVENTS)
        held_store.append(made)
    return held_store[0]


@pytest.fixture(scope="module")
def held_store() -> Iterator[list[DirectStore]]:
    held: list[DirectStore] = []
    yield held
    for each in held:
        each.close()


@pytest.fixture
def store(opensearch_node: OpenSearchNode, held_store: list[DirectStore]) -> Iterator[DirectStore]:
    while held_store:
        held_store.pop().close()
    made = DirectStore(opensearch_node)
    yield made
    made.close()
    opensearch_node.clear()
