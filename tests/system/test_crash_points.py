"""Every named crash point in the product kills its process there, again and again.

The points are found in the source text; one that is never passed fails its test, so that a point
nobody reaches cannot look safe.  The process dies at the point each time it comes back, at least
three times, then the installation runs without the variable and is judged.
"""

import re
from pathlib import Path

import pytest

from .oracle import judge
from .processes import Installation, wait_for
from .producer import Load, Producer

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["proto", "agent", "aggregator"]
POINT = re.compile(r'crash_point\(\s*"([a-z0-9_.]+)"')
DEATHS = 3


def points() -> list[str]:
    text = "".join(path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return sorted(set(POINT.findall(text)))


def test_the_points_are_found() -> None:
    assert len(points()) >= 20


@pytest.mark.long
@pytest.mark.parametrize("point", points())
def test_dying_at_a_point_again_and_again_costs_nothing(
    installation: Installation, tmp_path: Path, point: str
) -> None:
    producer = Producer(tmp_path / "source", 61)
    producer.write(300)
    installation.start(producer.pattern)
    installation.wait_until_drained(producer.owed.lines)
    installation.stop()
    installation.start(
        producer.pattern, environment={"OPENTRAIL_CRASH_AT": point}, wait=False
    )
    with Load(producer, 200, rotate_every_seconds=1.0):
        wait_for(f"{DEATHS} deaths at {point}", lambda: installation.deaths() >= DEATHS, 30)
    installation.destroy()
    installation.start(producer.pattern)
    judge(installation, producer, at_least=300, repeats=True)
