"""What the system tests share: an installation that is gone afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    each = Installation(tmp_path)
    yield each
    each.destroy()
