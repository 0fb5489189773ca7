"""OpenSearch answers as the contract of all engines says, on a real server."""

import pytest

from tests.aggregator.search.contract import EngineContract


@pytest.mark.slow
class TestOpenSearchEngine(EngineContract):
    """Everything in the contract."""
