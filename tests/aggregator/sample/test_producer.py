"""The producer keeps its rate, rotates without cutting a line, and mends what a kill cut."""

import json
from pathlib import Path

from opentrail_aggregator.sample.producer import FILE_NAME, KEEP_ROTATED, Producer


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_790_000_000.0

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


def _run(producer: Producer, clock: HandClock, ticks: int) -> int:
    written = 0
    for _ in range(ticks):
        clock.pause(0.1)
        written += producer.write_due()
    return written


def test_the_rate_is_kept(tmp_path: Path) -> None:
    clock = HandClock()
    producer = Producer(tmp_path, 200.0, clock=clock, seed=1)
    written = _run(producer, clock, 100)
    producer.close()
    assert 2000 <= written <= 2100  # Some calls are recorded in two accounts.
    assert len((tmp_path / FILE_NAME).read_bytes().splitlines()) == written


def test_a_long_pause_is_not_caught_up(tmp_path: Path) -> None:
    clock = HandClock()
    producer = Producer(tmp_path, 100.0, clock=clock, seed=1)
    clock.pause(3600)
    assert producer.write_due() < 120
    producer.close()


def test_rotation_loses_and_cuts_nothing_it_keeps(tmp_path: Path) -> None:
    clock = HandClock()
    producer = Producer(tmp_path, 500.0, clock=clock, seed=1, rotate_bytes=200_000)
    written = _run(producer, clock, 20)
    producer.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) > 2
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    assert len({json.loads(line)["eventID"] for line in lines}) == written


def test_old_files_are_removed(tmp_path: Path) -> None:
    clock = HandClock()
    producer = Producer(tmp_path, 10.0, clock=clock, seed=1)
    for _ in range(KEEP_ROTATED + 5):
        producer.rotate()
    producer.close()
    assert len(list(tmp_path.iterdir())) == KEEP_ROTATED + 1


def test_a_line_cut_by_a_kill_does_not_spoil_the_next_record(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"eventVersion":"1.0')
    clock = HandClock()
    producer = Producer(tmp_path, 1.0, clock=clock, seed=1)
    producer.write_due()
    producer.close()
    cut, *whole = (tmp_path / FILE_NAME).read_bytes().splitlines()
    assert cut == b'{"eventVersion":"1.0'
    assert json.loads(whole[0])["eventID"]
