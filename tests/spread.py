"""Which tests stay together when they run in several processes, and which come first.

Loaded by tests/conftest.py; does nothing when pytest runs in one process.  Tests of one file share
what the file sets up, so they stay in one process; those that need the real OpenSearch share one
node.  A test of the whole system sets up everything itself and mostly waits: each goes alone, and
before all others, so that none is left over at the end.
"""

import pytest

NODE = "opensearch_node"
"""The fixture that starts the one OpenSearch of a process."""


def group_of(item: pytest.Item) -> tuple[int, str]:
    """The rank of a test (lower starts earlier) and the name of those it stays with."""
    if NODE in getattr(item, "fixturenames", ()):
        return 0, "opensearch"
    file, _, _ = item.nodeid.partition("::")
    if file.startswith("tests/system/"):
        return 1, item.nodeid
    return 2, file


def spread(items: list[pytest.Item]) -> None:
    """Put `items` in the order they should start, each marked with its group."""
    groups = {item: group_of(item) for item in items}
    for item, (_, name) in groups.items():
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: groups[item][0])
