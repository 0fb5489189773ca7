"""The spool against a list, while the power fails, syncs fail and the disk fills up.

The rule: what `append` returned for is read back byte for byte until it is acknowledged, whatever
happens between; what was acknowledged stays so; numbers are never given twice in one epoch to what
was promised.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from opentrail_agent.spool.aside import Aside
from opentrail_agent.spool.outgoing import read_outgoing
from opentrail_agent.spool.spool import Sealed, Spool
from tests.fakes.clock import FakeClock
from tests.fakes.disk import PowerCut, SimulatedDisk

DIRECTORY = Path("/spool")
SEGMENT_BYTES = 700  # A handful of frames, so that rotating and dropping happen all the time.


class SpoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.count = 0
        self.promised: dict[int, bytes] = {}
        """Position -> payload of what append returned for, or a reopening showed durable."""
        self.attempted: dict[int, bytes] = {}
        """The same of an append that was cut off: there or not there, but nothing else."""
        self.acknowledged = 0
        self.epochs = 0
        self.open()

    def open(self) -> None:
        self.spool = Spool(
            DIRECTORY,
            FakeClock(),
            self.disk,
            segment_bytes=SEGMENT_BYTES,
            make_epoch=self.make_epoch,
        )
        self.compare()

    def make_epoch(self) -> bytes:
        self.epochs += 1
        return self.epochs.to_bytes(16, "big")

    def compare(self) -> None:
        """What is there after an opening: all promised, of the rest a beginning."""
        standing = self.spool.standing
        assert standing.acknowledged <= max([self.acknowledged, *self.promised], default=0)
        for position in [p for p in self.promised if p <= standing.acknowledged]:
            del self.promised[position]
        self.acknowledged = max(self.acknowledged, standing.acknowledged)
        last = max(self.promised, default=standing.acknowledged)
        assert self.spool.durable >= last
        for position in range(last + 1, self.spool.durable + 1):
            self.promised[position] = self.attempted[position]
        self.attempted.clear()
        self.everything_promised_is_read_back()

    def survive(self, act: Callable[[], None], seed: int) -> None:
        try:
            act()
        except PowerCut:
            self.disk.power_cut(random.Random(seed))
            self.open()
        except OSError:
            self.disk.free_bytes = None
            self.disk.fail_sync = None
            self.spool.reopen()
            self.compare()
        self.disk.operations_until_cut = None

    def append_now(self, sizes: list[int]) -> None:
        batches = []
        for size in sizes:
            self.count += 1
            batches.append(Sealed(f"{self.count}:".encode().ljust(size, b"x"), 1, 0))
        first = self.spool.next_position
        self.attempted = {first + n: batch.payload for n, batch in enumerate(batches)}
        last = self.spool.append(batches)
        assert last == first + len(batches) - 1
        self.promised |= self.attempted
        self.attempted.clear()

    def acknowledge_now(self, position: int) -> None:
        self.spool.acknowledge(position)
        self.acknowledged = max(self.acknowledged, position)
        for each in [p for p in self.promised if p <= position]:
            del self.promised[each]

    @rule(sizes=st.lists(st.integers(8, 200), min_size=1, max_size=6))
    def append(self, sizes: list[int]) -> None:
        self.append_now(sizes)

    @rule(
        sizes=st.lists(st.integers(8, 200), min_size=1, max_size=6),
        cut=st.integers(0, 30),
        seed=st.integers(0, 2**32),
    )
    def append_while_the_power_fails(self, sizes: list[int], cut: int, seed: int) -> None:
        self.disk.operations_until_cut = cut
        self.survive(lambda: self.append_now(sizes), seed)

    @rule(sizes=st.lists(st.integers(8, 200), min_size=1, max_size=6))
    def append_while_a_sync_fails(self, sizes: list[int]) -> None:
        self.disk.fail_sync = OSError(5, "input/output error")
        self.survive(lambda: self.append_now(sizes), 0)

    @rule(sizes=st.lists(st.integers(8, 200), min_size=1, max_size=6), free=st.integers(0, 600))
    def append_while_the_disk_is_full(self, sizes: list[int], free: int) -> None:
        self.disk.free_bytes = free
        self.survive(lambda: self.append_now(sizes), 0)
        self.disk.free_bytes = None

    @precondition(lambda self: self.promised)
    @rule(data=st.data(), cut=st.one_of(st.none(), st.integers(0, 12)), seed=st.integers(0, 2**32))
    def acknowledge(self, data: st.DataObject, cut: int | None, seed: int) -> None:
        position = data.draw(st.sampled_from(sorted(self.promised)))
        self.disk.operations_until_cut = cut
        self.survive(lambda: self.acknowledge_now(position), seed)

    @rule(cut=st.one_of(st.none(), st.integers(0, 4)), seed=st.integers(0, 2**32))
    def begin_epoch(self, cut: int | None, seed: int) -> None:
        before = self.spool.standing
        self.disk.operations_until_cut = cut
        self.survive(lambda: self.spool.begin_epoch(after=before.acknowledged), seed)
        after = self.spool.standing
        if cut is None:
            assert after.epoch != before.epoch
        if after.epoch != before.epoch:
            assert (after.acknowledged_through, after.acknowledged) == (0, before.acknowledged)
        else:
            assert after == before

    @rule(seed=st.integers(0, 2**32))
    def power_cut(self, seed: int) -> None:
        self.disk.power_cut(random.Random(seed))
        self.open()

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.open()

    @invariant()
    def everything_promised_is_read_back(self) -> None:
        standing = self.spool.standing
        found = read_outgoing(
            self.spool.reader(),
            Aside(self.spool.directory, self.spool._files),
            standing,
            standing.acknowledged_through,
            self.spool.durable,
            1 << 30,
        )
        expected = {p: payload for p, payload in self.promised.items() if p > standing.acknowledged}
        assert {standing.position(each.sequence): each.payload for each in found} == expected

    @invariant()
    def a_segment_leaves_the_disk_with_the_last_batch_in_it(self) -> None:
        names = [n for n in self.disk.list(DIRECTORY / "segments") if n.endswith(".seg")]
        beginnings = sorted(int(name[:-4]) for name in names)
        assert all(first > self.spool.standing.acknowledged + 1 for first in beginnings[1:-1])


TestSpool = pytest.mark.slow(SpoolMachine.TestCase)
TestSpool.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
