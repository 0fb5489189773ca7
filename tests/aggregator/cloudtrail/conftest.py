from collections.abc import Iterator

import pytest

from tests.aggregator.cloudtrail.serving import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One port for a module: tests use names and keys of their own."""
    with serving(tmp_path_factory.mktemp("home"), cloudtrail__calls_per_second="1000000") as made:
        yield made
