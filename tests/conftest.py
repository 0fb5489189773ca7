"""What tests of any room may ask for: real servers, started once for all of them."""

import os
from collections.abc import Iterator

import pytest
from xdist.remote import Producer

from tests.real.opensearch import OpenSearchNode
from tests.real.opensearch_install import MissingToolError, install
from tests.real.versitygw import MissingServerError, S3Server, program
from tests.spread import Spread, in_order

RUNNING = "OPENTRAIL_TEST_OPENSEARCH_PORT"
"""A node that is running already, for trying things out by hand: its port on loopback."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Spread:
    return Spread(config, log)


@pytest.fixture(scope="session")
def opensearch_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearchNode]:
    """A real OpenSearch; tests may delete what they find in it.

    Where it cannot be installed the tests are skipped and say what is missing; with CI=true they
    fail instead.
    """
    try:
        home, java = install()
    except MissingToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no real OpenSearch, these tests are NOT run; missing: {error}")
    node = OpenSearchNode(home, java, tmp_path_factory.mktemp("opensearch"))
    if RUNNING in os.environ:
        node.use(int(os.environ[RUNNING]))
        yield node
        return
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server; each test makes a bucket of its own in it.

    Where it cannot be built the tests are skipped and say what is missing; with CI=true they fail
    instead. Building it takes minutes, once.
    """
    try:
        path = program()
    except MissingServerError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no real S3 server, these tests are NOT run; missing: {error}")
    server = S3Server(path, tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()
