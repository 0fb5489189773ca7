"""Which tests stay together when they run in several processes, and which come first.

Loaded by tests/conftest.py.  Tests of one file share what the file sets up, so they stay in one
process; those that need the real OpenSearch share one node.  A test of the whole system sets up
everything itself and mostly waits: each goes alone, and before the small ones, so that none is
left over at the end.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

NODE = "opensearch_node"
"""The fixture that starts the one OpenSearch of a process."""

WITH_NODE = ("tests/aggregator/opensearch/", "tests/aggregator/dashboards/")
"""Where the tests are that use it."""


def group_of(nodeid: str) -> str:
    """The name of the tests that `nodeid` stays with."""
    if nodeid.startswith(WITH_NODE):
        return "opensearch"
    return nodeid if nodeid.startswith("tests/system/") else nodeid.partition("::")[0]


def rank_of(nodeid: str) -> int:
    """Lower starts earlier."""
    if nodeid.startswith(WITH_NODE):
        return 0
    return 1 if nodeid.startswith("tests/system/") else 2


class Spread(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole groups, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def in_order(items: list[pytest.Item]) -> None:
    """Sort `items` by their rank; a stranger that needs OpenSearch is a mistake."""
    for item in items:
        if NODE in getattr(item, "fixturenames", ()) and rank_of(item.nodeid):
            raise pytest.UsageError(
                f"{item.nodeid} uses {NODE} but is not below {' or '.join(WITH_NODE)}: it would "
                "start a second node; move it, or add its folder to tests/spread.py"
            )
    items.sort(key=lambda item: rank_of(item.nodeid))
