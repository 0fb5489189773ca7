"""Staging gives back what was put in, part by part in log order, whatever was spilled, merged, cut
or cut off by a crash in between.
"""

import random
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.errors import DamagedError
from opentrail_aggregator.archive.gather import Piece
from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.staging.merge import Merge, neighbours_to_merge
from opentrail_aggregator.archive.staging.slices import Slice, deltas, positions_from, undeltas
from opentrail_aggregator.archive.staging.store import CURRENT, Staging
from tests.aggregator.archive.rig import QuickFiles


def key_of(number: int) -> PartKey:
    return PartKey("arn", "111122223333", "eu-west-1", number, "CloudTrail")


def piece_of(
    part: int, position: int, events: int, *, size: int = 40, derived: bool = False,
    packed: bool = False,
) -> Piece:  # fmt: skip
    lines = b"".join(
        b'{"part":%d,"at":%d,"pad":"%s"}\n' % (part, position + i, b"x" * size)
        for i in range(events)
    )
    return Piece(
        key_of(part),
        Slice(
            b"" if packed else lines,
            zstandard.ZstdCompressor().compress(lines) if packed else b"",
            len(lines),
            positions_from(position, events),
            part * 3600,
            part * 3600 + events,
            events,
            position,
            position,
            {0: f"derived-{position}"} if derived else {},
        ),
        "",
    )


class Model:
    """The obvious staging: lists in memory, and what the last checkpoint would bring back."""

    def __init__(self) -> None:
        self.parts: dict[int, list[Slice]] = {}
        self.durable: dict[int, list[Slice]] = {}

    def checkpoint(self) -> None:
        self.durable = {part: list(pieces) for part, pieces in self.parts.items()}

    def crash(self) -> None:
        self.parts = {part: list(pieces) for part, pieces in self.durable.items()}


def assert_equal(staging: Staging, model: Model) -> None:
    assert {part.key.hour for part in staging.parts.values()} == set(model.parts)
    for number, pieces in model.parts.items():
        part = staging.find(key_of(number))
        assert part is not None
        found = list(staging.slices(part))
        assert b"".join(each.text() for each in found) == b"".join(p.text() for p in pieces)
        positions = [int(p) for each in found for p in each.positions]
        assert positions == [int(p) for piece in pieces for p in piece.positions]
        derived = [each for piece in found for each in piece.derived.values()]
        assert derived == [each for piece in pieces for each in piece.derived.values()]
        assert part.events == len(positions)
        assert part.raw_bytes == sum(piece.raw_bytes for piece in pieces)
        assert (part.first, part.last) == (positions[0], positions[-1])
        assert part.counted == sum(piece.counted for piece in pieces)
        assert part.oldest == min(piece.oldest for piece in pieces)
        assert part.newest == max(piece.newest for piece in pieces)
        assert part.live_first_ns == min(piece.live_first_ns for piece in pieces)


STEPS = st.lists(
    st.sampled_from(["add"] * 6 + ["checkpoint", "cut", "merge", "crash"]), min_size=1, max_size=80
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, seed=st.integers(0, 10**6))
def test_staging_is_what_an_obvious_model_is(
    steps: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed)
    folder = tmp_path_factory.mktemp("staging")
    staging, model = Staging(folder, "log", QuickFiles()), Model()
    position, frame = 1, 0
    for step in steps:
        if step == "add":
            frame += 1
            for _ in range(chance.randint(1, 5)):
                part, events = chance.randint(1, 6), chance.randint(1, 4)
                size = chance.choice([10, 40, 100_000])
                piece = piece_of(
                    part, position, events, size=size, derived=chance.random() < 0.3,
                    packed=size > 1000 and chance.random() < 0.5,
                )  # fmt: skip
                position += events
                staging.add(piece, 0.0)
                model.parts.setdefault(part, []).append(piece.slice)
        elif step == "checkpoint":
            staging.checkpoint(frame, {"frame": frame})
            model.checkpoint()
        elif step == "cut" and model.parts:
            part = chance.choice(sorted(model.parts))
            del model.parts[part]
            found = staging.find(key_of(part))
            assert found is not None
            staging.close_part(found)
        elif step == "merge" and len(staging.runs) > 1:
            begin = chance.randrange(len(staging.runs) - 1)
            end = chance.randint(begin + 2, len(staging.runs))
            merge = Merge(staging, staging.runs[begin:end])
            while merge.step():
                pass
        elif step == "crash":
            staging = Staging(folder, "log", QuickFiles())
            model.crash()
            frame = staging.position
        assert_equal(staging, model)
    staging.checkpoint(frame + 1, {})
    model.checkpoint()
    named = {run.name for run in Staging(folder, "log", QuickFiles()).runs}
    assert {path.name for path in folder.glob("*.run*")} == named


@pytest.mark.slow
def test_runs_with_many_small_slices_are_merged_and_their_number_stays_small(
    tmp_path: Path,
) -> None:
    staging, model, chance = Staging(tmp_path, "log"), Model(), random.Random(3)
    position = 1
    for frame in range(1, 200):
        for _ in range(20):
            part = chance.randint(1, 300)
            piece = piece_of(part, position, 1)
            position += 1
            staging.add(piece, 0.0)
            model.parts.setdefault(part, []).append(piece.slice)
        staging.checkpoint(frame, {})
        while runs := neighbours_to_merge(staging.runs):
            merge = Merge(staging, runs)
            while merge.step():
                pass
    assert len(staging.runs) < 16
    assert_equal(staging, model)


def test_a_checkpoint_after_all_parts_were_cut_leaves_no_runs(tmp_path: Path) -> None:
    staging = Staging(tmp_path, "log", QuickFiles())
    staging.add(piece_of(1, 1, 5), 0.0)
    staging.checkpoint(1, {})
    part = staging.find(key_of(1))
    assert part is not None
    staging.close_part(part)
    staging.checkpoint(2, {})
    assert list(tmp_path.glob("*.run")) == []
    assert staging.buffer_bytes == 0


def read_everything(folder: Path) -> None:
    staging = Staging(folder, "log", QuickFiles())
    for part in staging.parts.values():
        assert list(staging.slices(part))


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "current"])
def test_damage_is_told_and_never_read_as_events(tmp_path: Path, damage: str) -> None:
    staging = Staging(tmp_path, "log", QuickFiles())
    staging.add(piece_of(1, 1, 500), 0.0)
    staging.checkpoint(1, {})
    (run,) = tmp_path.glob("*.run")
    data = bytearray(run.read_bytes())
    if damage == "cut":
        run.write_bytes(data[: len(data) - 10])
    elif damage == "flip":
        data[100] ^= 0xFF
        run.write_bytes(data)
    elif damage == "gone":
        run.unlink()
    else:
        (tmp_path / CURRENT).write_bytes(b"\x00garbage")
    with pytest.raises(DamagedError, match="staging folder"):
        read_everything(tmp_path)


def test_staging_of_another_log_is_not_touched(tmp_path: Path) -> None:
    staging = Staging(tmp_path, "log", QuickFiles())
    staging.add(piece_of(1, 1, 1), 0.0)
    staging.checkpoint(1, {})
    with pytest.raises(DamagedError, match="belongs to log log"):
        Staging(tmp_path, "another")


def test_positions_survive_their_short_form() -> None:
    positions = np.array([5 << 16, (5 << 16) + 3, 1 << 62, (1 << 62) + 1], dtype=np.uint64)
    assert undeltas(deltas(positions)).tolist() == positions.tolist()
