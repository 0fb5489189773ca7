"""The book of trails: durable, of one mind with the log whatever dies in between."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opentrail.errors import DamagedError, OpenTrailError
from opentrail_aggregator.trails.book import TrailBook
from opentrail_aggregator.trails.trail import TrailSpec, default_trail, trail_of_frame
from tests.fakes.clock import FakeClock

DEFAULT = default_trail("0" * 12, "us-east-1")
AUDIT = TrailSpec(name="audit", home_region="us-east-1", account="0" * 12, bucket="opentrail")


class Log:
    def __init__(self) -> None:
        self.id = "one"
        self.frames: list[dict[str, Any]] = []
        self.fails_before = self.fails_behind = False

    def append(self, kind: str, body: dict[str, Any]) -> int:
        if self.fails_before:
            raise OpenTrailError("ingest is away")
        self.frames.append({"type": kind, **body})
        if self.fails_behind:
            raise OpenTrailError("no answer")
        return len(self.frames)


def book_of(path: Path, log: Log, default: TrailSpec = DEFAULT) -> TrailBook:
    return TrailBook(path, FakeClock(10**9), log.append, log_id=lambda: log.id, default=default)


def put(book: TrailBook, trail: TrailSpec) -> None:
    book.change(lambda _: (trail.arn, trail))


def test_what_was_changed_is_there_after_a_start(tmp_path: Path) -> None:
    log = Log()
    put(book_of(tmp_path, log), AUDIT)
    book = book_of(tmp_path, log)
    assert list(book.all().values()) == [DEFAULT, AUDIT]
    book.change(lambda _: (AUDIT.arn, None))
    assert list(book_of(tmp_path, log).all().values()) == [DEFAULT]
    assert [trail_of_frame(each)[2] for each in log.frames] == [AUDIT, None]


@pytest.mark.parametrize("written", [False, True], ids=["before the log", "behind the log"])
def test_a_change_in_doubt_is_made_again_under_its_number_and_before_any_other(
    tmp_path: Path, written: bool
) -> None:
    log = Log()
    log.fails_before, log.fails_behind = not written, written
    book = book_of(tmp_path, log)
    with pytest.raises(OpenTrailError):
        put(book, AUDIT)
    assert AUDIT.arn not in book.all()
    with pytest.raises(OpenTrailError):
        book.change(lambda _: (AUDIT.arn, None))
    log.fails_before = log.fails_behind = False
    again = book_of(tmp_path, log)
    again.settle()
    assert AUDIT.arn in again.all()
    assert len({each["number"] for each in log.frames}) == 1
    other = msgspec.structs.replace(AUDIT, name="other")
    put(again, other)
    assert log.frames[-1]["number"] > log.frames[-2]["number"]


def test_another_log_is_told_of_all_trails(tmp_path: Path) -> None:
    log = Log()
    other = msgspec.structs.replace(AUDIT, name="other", logging=True)
    put(book_of(tmp_path, log), AUDIT)
    put(book_of(tmp_path, log), other)
    new = Log()
    new.id = "two"
    book_of(tmp_path, new).settle()
    assert [trail_of_frame(each)[2] for each in new.frames] == [AUDIT, other]
    book_of(tmp_path, new).settle()
    assert len(new.frames) == 2


def test_a_lost_file_does_not_bring_lower_numbers(tmp_path: Path) -> None:
    log = Log()
    put(book_of(tmp_path, log), AUDIT)
    (tmp_path / "trails.json").unlink()
    clock = FakeClock(10**9 + 1)
    book = TrailBook(tmp_path, clock, log.append, log_id=lambda: log.id, default=DEFAULT)
    put(book, AUDIT)
    assert log.frames[1]["number"] > log.frames[0]["number"]


def test_the_place_of_default_is_the_configuration_s(tmp_path: Path) -> None:
    log = Log()
    put(book_of(tmp_path, log), msgspec.structs.replace(DEFAULT, logging=False))
    moved = default_trail("0" * 12, "us-east-1", "elsewhere")
    (found,) = book_of(tmp_path, log, moved).all().values()
    assert (found.logging, found.prefix) == (False, "elsewhere")


def test_a_damaged_file_is_said_and_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "trails.json").write_bytes(b'{"format": 1, "trails": 7}')
    book = book_of(tmp_path, Log())
    with pytest.raises(DamagedError, match="bring it back from a backup"):
        put(book, AUDIT)
    assert (tmp_path / "trails.json").read_bytes() == b'{"format": 1, "trails": 7}'


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"arn": AUDIT.arn, "number": "1", "trail": None},
        {"arn": DEFAULT.arn, "number": 1, "trail": msgspec.to_builtins(AUDIT)},
        {"arn": AUDIT.arn, "number": 1, "trail": {"name": "../..", "home_region": "x",
                                                  "account": "0" * 12}},
        {"arn": AUDIT.arn, "number": 1, "trail": {**msgspec.to_builtins(AUDIT), "basic": [7]}},
    ],
)  # fmt: skip
def test_a_malformed_frame_is_refused(frame: dict[str, Any]) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        trail_of_frame({"type": "trail", **frame})


_CHILD = """
import sys
from pathlib import Path
from tests.aggregator.trails.test_book import AUDIT, Log, book_of, put
log = Log()
put(book_of(Path(sys.argv[1]), log), AUDIT)
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", ["trails.pending", "trails.appended"])
def test_a_kill_on_the_way_leaves_a_change_that_is_made_at_the_next_start(
    tmp_path: Path, point: str
) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path)], cwd=root, check=False, timeout=60,
        env={**os.environ, "OPENTRAIL_CRASH_AT": point, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    log = Log()
    book = book_of(tmp_path, log)
    assert AUDIT.arn not in book.all()
    book.settle()
    assert [trail_of_frame(each)[2] for each in log.frames] == [AUDIT]
    assert AUDIT.arn in book_of(tmp_path, log).all()
