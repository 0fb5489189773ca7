"""What was committed survives any power cut, kill, full disk or failed sync, where it was.

A model keeps every committed frame by its position. Whatever happens between, opening the log again
finds all of them (but the released), in order, at the same positions, and no position twice.
"""

import contextlib
import errno
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.published import UnsharedPosition
from tests.fakes.disk import PowerCut, SimulatedDisk

from .logs import batches_in, frame, open_log

FAILURES = [errno.EIO, errno.ENOSPC]


class LogUnderPowerCuts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.published = UnsharedPosition()
        self.committed: dict[int, int] = {}
        self.unknown: set[int] = set()
        """Numbers that were under way when the power failed: there or not, both are right."""
        self.number = 0
        self.log: DiskLog

    @initialize()
    def begin(self) -> None:
        self.log = open_log(self.disk, published=self.published)

    def reopen(self) -> None:
        self.log = open_log(self.disk, published=self.published)
        assert not [note for note in self.log.findings if "are gone" in note]
        found = batches_in(self.log, self.disk)
        for position, number in found.items():
            if position not in self.committed:
                assert number in self.unknown
                self.committed[position] = number
        self.unknown.clear()

    def numbers(self, count: int) -> list[int]:
        self.number += count
        return list(range(self.number - count + 1, self.number + 1))

    @rule(sizes=st.lists(st.integers(5, 400), min_size=1, max_size=6))
    def commit(self, sizes: list[int]) -> None:
        numbers = self.numbers(len(sizes))
        outcome = self.log.commit(
            [frame(number, size) for number, size in zip(numbers, sizes, strict=True)]
        )
        if self.log.failure is None:
            assert outcome.error is None
            assert len(outcome.positions) == len(sizes)
        self.committed.update(zip(outcome.positions, numbers, strict=False))

    @rule(
        seed=st.integers(0, 1 << 32),
        operations=st.integers(0, 25),
        sizes=st.lists(st.integers(5, 400), min_size=1, max_size=6),
    )
    def lose_power_while_committing(self, seed: int, operations: int, sizes: list[int]) -> None:
        numbers = self.numbers(len(sizes))
        self.disk.operations_until_cut = operations
        try:
            outcome = self.log.commit(
                [frame(number, size) for number, size in zip(numbers, sizes, strict=True)]
            )
            self.committed.update(zip(outcome.positions, numbers, strict=False))
        except PowerCut:
            self.unknown.update(numbers)
        self.disk.power_cut(random.Random(seed))
        self.recover(seed)

    @rule(seed=st.integers(0, 1 << 32))
    def lose_power(self, seed: int) -> None:
        self.disk.power_cut(random.Random(seed))
        self.reopen()

    def recover(self, seed: int) -> None:
        """Open, dying twice more on the way."""
        for operations in (1 + seed % 3, 4 + seed % 5):
            self.disk.operations_until_cut = operations
            with contextlib.suppress(PowerCut):
                open_log(self.disk, published=self.published)
            self.disk.power_cut(random.Random(seed + operations))
        self.reopen()

    @rule()
    def be_killed(self) -> None:
        self.reopen()

    @rule(number=st.sampled_from(FAILURES), sizes=st.lists(st.integers(5, 400), min_size=1))
    def fail_to_sync(self, number: int, sizes: list[int]) -> None:
        if self.log.failure is not None:
            return
        self.disk.fail_sync = OSError(number, "failed")
        numbers = self.numbers(len(sizes))
        outcome = self.log.commit(
            [frame(number, size) for number, size in zip(numbers, sizes, strict=True)]
        )
        assert outcome.error is not None
        self.committed.update(zip(outcome.positions, numbers, strict=False))
        assert self.log.commit([frame(self.numbers(1)[0])]).positions == []
        assert self.log.reopen()

    @rule(free=st.integers(0, 600), sizes=st.lists(st.integers(5, 400), min_size=2, max_size=6))
    def fill_the_disk(self, free: int, sizes: list[int]) -> None:
        self.disk.free_bytes = free
        numbers = self.numbers(len(sizes))
        outcome = self.log.commit(
            [frame(number, size) for number, size in zip(numbers, sizes, strict=True)]
        )
        self.committed.update(zip(outcome.positions, numbers, strict=False))
        self.disk.free_bytes = None
        assert self.log.reopen()

    @rule(share=st.floats(0, 1))
    def release(self, share: float) -> None:
        position = int(self.log.durable_position * share)
        self.log.drop_before(position)
        first = self.log.first_position
        assert all(gone < position for gone in self.committed if gone < first)
        self.committed = {p: n for p, n in self.committed.items() if p >= first}

    @rule(forgets=st.booleans())
    def lose_what_was_published(self, forgets: bool) -> None:
        """`durable` is not synced: after a power cut it may be older."""
        if forgets:
            self.published.publish(0)

    @invariant()
    def everything_committed_is_there(self) -> None:
        if not hasattr(self, "log"):
            return
        found = batches_in(self.log, self.disk)
        assert found == self.committed
        assert list(found) == sorted(found)
        assert list(found.values()) == sorted(found.values())


TestLogUnderPowerCuts = pytest.mark.slow(LogUnderPowerCuts.TestCase)
TestLogUnderPowerCuts.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
