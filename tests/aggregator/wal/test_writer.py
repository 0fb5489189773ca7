"""One thread commits; whoever waits shares its sync; behind a failure nothing gets in."""

import errno
import threading
from pathlib import Path

from opentrail_aggregator.wal.writer import LogThread
from tests.fakes.disk import SimulatedDisk

from .logs import batches_in, frame, open_log


class SlowDisk(SimulatedDisk):
    """Counts syncs, and holds them while told to."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def _sync_file(self, file: object) -> None:
        self.syncs += 1
        assert self.go_on.wait(10)
        super()._sync_file(file)  # type: ignore[arg-type]


def test_what_gathers_during_one_sync_shares_the_next() -> None:
    disk = SlowDisk()
    thread = LogThread(open_log(disk, segment_bytes=1 << 20))
    before = disk.syncs
    disk.go_on.clear()
    first = thread.submit([frame(0)])
    others = [thread.submit([frame(number)]) for number in range(1, 101)]
    disk.go_on.set()
    assert first.result(10).error is None
    assert [each.result(10).positions for each in others] == [[n] for n in range(2, 102)]
    assert disk.syncs - before <= 3
    thread.close()


def test_a_failure_refuses_all_behind_it_until_the_submitter_resumes() -> None:
    disk = SlowDisk()
    log = open_log(disk)
    thread = LogThread(log)
    assert thread.submit([frame(1)]).result(10).positions == [1]
    disk.go_on.clear()
    groups = [thread.submit([frame(number)]) for number in (2, 3, 4)]
    disk.fail_sync = OSError(errno.EIO, "failed")
    disk.go_on.set()
    assert [group.result(10).positions for group in groups] == [[], [], []]
    # The log opens again by itself, but what its submitter numbers must not go on behind a hole.
    assert thread.submit([frame(5)]).result(10).error is not None
    assert thread.trouble is not None
    for _ in range(1000):
        if thread.resume():
            break
        disk.go_on.wait(0.01)
        threading.Event().wait(0.01)
    assert thread.trouble is None
    assert thread.submit([frame(2)]).result(10).positions == [2]
    thread.close()
    assert batches_in(open_log(disk), disk) == {1: 1, 2: 2}


def test_closing_commits_what_was_submitted() -> None:
    disk = SimulatedDisk()
    thread = LogThread(open_log(disk))
    submitted = [thread.submit([frame(number)]) for number in range(50)]
    thread.close()
    assert all(each.result(0).error is None for each in submitted)
    assert thread.submit([frame(99)]).result(0).error is not None


def test_segments_are_released_by_the_thread_that_writes(tmp_path: Path) -> None:
    disk = SimulatedDisk()
    log = open_log(disk)
    thread = LogThread(log)
    for number in range(40):
        thread.submit([frame(number, 60)]).result(10)
    thread.drop_before(20)
    thread.submit([frame(41)]).result(10)
    assert 1 < log.first_position <= 20
    thread.close()
