"""The log's tools: they look, they say what is wrong, and they change nothing unless told to."""

import json
from pathlib import Path

import pytest

from opentrail.errors import LockedError, UsageError
from opentrail.files import FileLock
from opentrail.segment.store import segment_name, segment_positions
from opentrail_aggregator.wal.cursors import Cursors
from opentrail_aggregator.wal.published import PublishedPosition
from opentrail_aggregator.wal.tools import main

from .logs import batches_in, frame, open_log

Output = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "log"
    directory.mkdir()
    published = PublishedPosition(directory, writing=True)
    log = open_log(directory=directory, published=published)
    for number in range(1, 41):
        log.commit([frame(number, 60)])
    Cursors(tmp_path / "log" / "cursors", log.log_id).commit("index", 11)
    log.close()
    return tmp_path


def sealed(home: Path) -> Path:
    names = [path.name for path in (home / "log").iterdir()]
    return home / "log" / segment_name(segment_positions(names)[1])


def run(home: Path, *argv: str) -> int:
    return main([argv[0], "--home", str(home), *argv[1:]])


def test_status_tells_the_ends_and_the_readers(home: Path, capsys: Output) -> None:
    assert run(home, "status", "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["first_position"] == 1
    assert found["received_events"] == 40 * 3
    assert found["cursors"] == {"index": 11}
    assert run(home, "status") == 0
    assert "cursor index" in capsys.readouterr().out


def test_dump_shows_frames_in_order(home: Path, capsys: Output) -> None:
    assert run(home, "dump", "--after", "2", "--limit", "3", "--output", "json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["position"] for row in rows] == [3, 4, 5]
    assert rows[0]["agent"] == "web-1"


def test_check_ends_with_zero_only_if_all_is_whole(home: Path, capsys: Output) -> None:
    assert run(home, "check") == 0
    content = bytearray(sealed(home).read_bytes())
    content[500] ^= 1
    sealed(home).write_bytes(content)
    assert run(home, "check") == 1
    assert "LOST" in capsys.readouterr().out


def test_a_missing_segment_is_named(home: Path, capsys: Output) -> None:
    sealed(home).unlink()
    assert run(home, "check", "--output", "json") == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any("are missing" in each["what"] for each in findings)


def test_repair_plans_first_and_keeps_what_it_replaces(home: Path, capsys: Output) -> None:
    """A sealed segment that lost its end: its footer is written anew, the rest kept beside it."""
    path = sealed(home)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    before = path.read_bytes()
    assert run(home, "repair") == 0
    assert path.read_bytes() == before
    assert "nothing was changed" in capsys.readouterr().out
    assert run(home, "repair", "--apply") == 0
    assert run(home, "repair") == 0
    assert "nothing to repair" in capsys.readouterr().out
    assert list((home / "log").glob("*.broken"))


def test_repair_gives_a_misnamed_segment_its_name_back(home: Path) -> None:
    path = sealed(home)
    path.rename(path.with_name(segment_name(999_999)))
    assert run(home, "repair", "--apply") == 0
    assert path.exists()
    log = open_log(directory=home / "log")
    assert len(batches_in(log)) == 40
    log.close()


def test_repair_keeps_its_hands_off_a_log_in_use(home: Path) -> None:
    lock = FileLock(home / "log" / "lock")
    lock.acquire()
    with pytest.raises(LockedError):
        run(home, "repair", "--apply")
    lock.release()


def test_a_home_without_a_log_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--home"):
        run(tmp_path, "status")
