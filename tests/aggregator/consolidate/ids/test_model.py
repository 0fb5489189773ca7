"""The id set answers as a dict would, whatever is spilled, merged, cut off or begun anew."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opentrail_aggregator.consolidate.ids.idsets import IdSets
from tests.fakes.disk import PowerCut, SimulatedDisk

HOME = Path("ids")
Event = tuple[int, int, int, int]
"""Name, hour, hash, position."""


def key_of(name: int, hour: int = 490_000) -> bytes:
    """The hour is part of a key; keys of five names share their upper half."""
    digest = hashlib.blake2b(f"{name // 5} {hour}".encode(), digest_size=16).digest()
    return digest[:8] + (name % 5).to_bytes(8, "big")


def ask(ids: IdSets, events: list[Event]) -> list[tuple[int, int]]:
    """Hash and position of the first event of each."""
    hashes, positions = ids.find_or_add(
        [key_of(name, hour) for name, hour, _, _ in events],
        np.array([hour for _, hour, _, _ in events], dtype=np.int64),
        np.array([hash_ for _, _, hash_, _ in events], dtype=np.uint64),
        np.array([position for _, _, _, position in events], dtype=np.uint64),
    )
    return list(zip(hashes.tolist(), positions.tolist(), strict=True))


def open_ids(disk: SimulatedDisk, spill_ids: int = 8) -> IdSets:
    return IdSets(
        HOME,
        disk,
        mapper=lambda path: memoryview(disk.read(path, 0, disk.size(path))),
        spill_ids=spill_ids,
    )


class IdSetMachine(RuleBasedStateMachine):
    """`history` stands for the verdicts: what was durable before the power went."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.ids = open_ids(self.disk)
        self.model: dict[tuple[int, int], tuple[int, int]] = {}
        self.history: list[Event] = []
        self.forgotten = -(10**6)

    @rule(
        events=st.lists(
            st.tuples(st.integers(0, 60), st.sampled_from([-600_000, 0, 1, 2, 490_000])),
            max_size=30,
        )
    )
    def ask(self, events: list[tuple[int, int]]) -> None:
        batch: list[Event] = []
        for name, hour in events:
            if hour < self.forgotten:
                continue
            position = len(self.history) + len(batch) + 1
            batch.append((name, hour, position * 7, position))
        expected = [
            self.model.setdefault((name, hour), (hash_, position))
            for name, hour, hash_, position in batch
        ]
        assert ask(self.ids, batch) == expected
        self.history += batch

    @rule()
    def spill(self) -> None:
        self.ids.spill(len(self.history))

    @rule(rows=st.integers(1, 40))
    def merge(self, rows: int) -> None:
        self.ids.work(rows)

    @rule(hour=st.sampled_from([0, 1, 2]))
    def forget(self, hour: int) -> None:
        self.ids.forget_before(hour)
        self.forgotten = max(self.forgotten, hour)

    @rule(seed=st.integers(0, 2**32), operations=st.integers(0, 30), rows=st.integers(1, 100))
    def lose_power(self, seed: int, operations: int, rows: int) -> None:
        self.disk.operations_until_cut = operations
        try:
            self.ids.spill(len(self.history))
            while self.ids.work(rows):
                pass
        except PowerCut:
            pass
        self.disk.power_cut(random.Random(seed))
        self.ids = open_ids(self.disk)
        assert self.ids.notes == []
        self.replay()

    def replay(self) -> None:
        """As the consolidator does: what lies behind the checkpoint is added again."""
        behind = [event for event in self.history if event[3] > self.ids.checkpoint]
        kept = [event for event in behind if event[1] >= self.forgotten]
        assert ask(self.ids, kept) == [self.model[event[0], event[1]] for event in kept]

    @invariant()
    def nothing_is_damaged(self) -> None:
        assert self.ids.damage() == []


IdSetMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_the_set_answers_as_a_dict_would = pytest.mark.slow(IdSetMachine.TestCase)
