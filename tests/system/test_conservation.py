"""One event is taken out of each store in turn: `status` fails and names the figure.

Each store counts what it has by looking, so nothing that goes missing can hide behind a
subtraction.  Without these tests an equation that is always true would look just as good.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from .oracle import equations
from .processes import Installation
from .producer import Producer

pytestmark = pytest.mark.long


@pytest.fixture
def settled(installation: Installation, tmp_path: Path) -> Installation:
    """An installation at rest with a few thousand events in every store."""
    producer = Producer(tmp_path / "source", 41)
    producer.write(2000)
    installation.start(producer.pattern)
    installation.wait_until_drained(producer.owed.lines)
    assert equations(installation.status(recount=True)) == []
    return installation


def told(installation: Installation, *options: str) -> subprocess.CompletedProcess[bytes]:
    return installation.run("status", *options, check=False)


def fails_and_names(installation: Installation, figure: str, *options: str) -> None:
    answer = told(installation, *options)
    words = (answer.stdout + answer.stderr).decode()
    assert answer.returncode == 1, words
    assert figure in words


def test_a_removed_archive_object_is_missed(settled: Installation) -> None:
    victim = next((settled.home / "archive").rglob("CloudTrail/**/*.json.gz"))
    victim.unlink()
    fails_and_names(settled, "archived")


def test_an_archive_object_cut_short_is_missed(settled: Installation) -> None:
    victim = next((settled.home / "archive").rglob("CloudTrail/**/*.json.gz"))
    victim.write_bytes(victim.read_bytes()[:-9])
    fails_and_names(settled, "archived")


def test_a_changed_byte_in_an_archive_object_is_found_by_a_recount(settled: Installation) -> None:
    victim = next((settled.home / "archive").rglob("CloudTrail/**/*.json.gz"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    fails_and_names(settled, "archived", "--recount")


def test_a_removed_index_day_is_missed(settled: Installation) -> None:
    settled.stop()
    victim = next((settled.home / "index").glob("g*/20*"))
    shutil.rmtree(victim)
    settled.start()
    fails_and_names(settled, "indexed")


def test_a_removed_quarantine_segment_is_missed(settled: Installation) -> None:
    settled.stop()
    victim = next((settled.home / "quarantine").rglob("*.seg"))
    victim.unlink()
    settled.start()
    fails_and_names(settled, "quarantined")


def test_a_removed_verdict_file_is_missed(settled: Installation) -> None:
    settled.stop()
    victim = next((settled.home / "verdicts").rglob("*.seg"))
    victim.unlink()
    settled.start(wait=False)
    fails_and_names(settled, "verdict")


def test_a_removed_log_segment_is_missed(settled: Installation) -> None:
    settled.stop()
    victim = next((settled.home / "log").rglob("*.seg"))
    victim.unlink()
    settled.start(wait=False)
    fails_and_names(settled, "log")
