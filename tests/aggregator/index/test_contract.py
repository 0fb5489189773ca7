"""The embedded index answers as the contract of all engines says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aggregator.index.store import DirectStore
from tests.aggregator.search.contract import EVENTS, EngineContract
from tests.aggregator.search.oracle import Stored


@pytest.fixture(scope="module")
def events() -> list[Stored]:
    return EVENTS


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectStore]:
    made = DirectStore(tmp_path_factory.mktemp("index"))
    # In two parts, so that days have several segments.
    made.add(EVENTS[: len(EVENTS) // 2])
    made.add(EVENTS[len(EVENTS) // 2 :])
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectStore]:
    made = DirectStore(tmp_path)
    yield made
    made.close()


class TestIndexEngine(EngineContract):
    """Everything in the contract."""
