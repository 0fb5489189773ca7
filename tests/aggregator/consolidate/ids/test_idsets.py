"""The id set on a real disk: sizes, damage, forgetting, memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from opentrail_aggregator.consolidate.ids.idsets import IdSets
from opentrail_aggregator.consolidate.ids.merge import BLOCK_ROWS
from tests.aggregator.consolidate.ids.test_model import Event, ask, key_of

ROOT = Path(__file__).resolve().parents[4]


def events(first: int, count: int, hour: int = 490_000) -> list[Event]:
    return [(first + n, hour, first + n, first + n) for n in range(count)]


def filled(directory: Path, runs: int, per_run: int = 50) -> IdSets:
    ids = IdSets(directory, spill_ids=per_run)
    for number in range(runs):
        ask(ids, events(1 + number * per_run, per_run))
        ids.spill((number + 1) * per_run)
    return ids


def merge_all(ids: IdSets) -> None:
    while ids.work(1_000):
        pass


def test_the_first_of_several_equal_keys_in_one_call_counts(tmp_path: Path) -> None:
    ids = IdSets(tmp_path)
    assert ask(ids, [(1, 0, 7, 10), (1, 0, 8, 11), (2, 0, 9, 12)]) == [(7, 10), (7, 10), (9, 12)]


def test_asking_again_about_the_same_event_finds_the_event_itself(tmp_path: Path) -> None:
    ids = filled(tmp_path, 1)
    assert ask(ids, [(3, 490_000, 3, 3)]) == [(3, 3)]


def test_four_runs_of_a_size_become_one(tmp_path: Path) -> None:
    ids = filled(tmp_path, 4)
    assert ids.figures()["runs"] == 4
    merge_all(ids)
    assert ids.figures()["runs"] == 1
    assert len(list(tmp_path.glob("*.ids"))) == 1
    assert len(ids) == 200
    assert ask(ids, events(1, 200)) == [(n, n) for n in range(1, 201)]


def test_runs_of_many_blocks_are_merged_in_order(tmp_path: Path) -> None:
    ids = IdSets(tmp_path)
    per_run = 2 * BLOCK_ROWS + 100
    for number in range(4):
        ask(ids, events(1 + number * per_run, per_run))
        ids.spill(number)
    assert ids.work(100)
    merge_all(ids)
    assert ids.figures()["runs"] == 1
    assert ids.damage() == []
    assert ask(ids, events(1, 4 * per_run)) == [(n, n) for n in range(1, 4 * per_run + 1)]


def test_many_ids_make_few_runs(tmp_path: Path) -> None:
    ids = filled(tmp_path, 64)
    merge_all(ids)
    assert ids.figures()["runs"] <= 3
    assert len(ids) == 64 * 50


def test_what_is_forgotten_frees_its_room(tmp_path: Path) -> None:
    ids = IdSets(tmp_path, spill_ids=100)
    for number in range(4):
        ask(ids, events(1 + number * 100, 50, hour=10) + events(51 + number * 100, 50, hour=20))
        ids.spill(number)
    ids.forget_before(20)
    merge_all(ids)
    assert len(ids) == 200
    ids.forget_before(21)
    merge_all(ids)
    assert len(ids) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    ids.close()
    assert len(IdSets(tmp_path)) == 0


def test_a_run_mostly_forgotten_is_written_anew(tmp_path: Path) -> None:
    ids = IdSets(tmp_path)
    ask(ids, events(1, 60, hour=10) + events(100, 40, hour=20))
    ids.spill(1)
    ids.forget_before(20)
    assert len(ids) == 100
    merge_all(ids)
    assert len(ids) == 40
    assert ask(ids, [(100, 20, 5, 5)]) == [(100, 100)]


def test_hours_out_of_range_are_still_told_apart(tmp_path: Path) -> None:
    ids = IdSets(tmp_path)
    far = 20_000_000
    ask(ids, [(1, -far, 1, 1), (2, -far - 1, 2, 2), (3, far, 3, 3), (4, far + 1, 4, 4)])
    ids.spill(4)
    again = [(1, -far, 9, 9), (2, -far - 1, 9, 9), (3, far, 9, 9), (4, far + 1, 9, 9)]
    assert ask(ids, again) == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_prefix_shared_by_many_keys_is_walked_to_the_end(tmp_path: Path) -> None:
    ids = IdSets(tmp_path)
    prefix = b"\x55" * 8
    keys = [prefix + n.to_bytes(8, "big") for n in range(500)]
    hours = np.zeros(500, dtype=np.int64)
    numbers = np.arange(500, dtype=np.uint64)
    ids.find_or_add(keys, hours, numbers, numbers)
    ids.spill(1)
    _, first = ids.find_or_add(keys[::-1], hours, numbers, numbers + np.uint64(1000))
    assert first.tolist() == list(range(499, -1, -1))
    _, first = ids.find_or_add([prefix + b"\xff" * 8], hours[:1], numbers[:1], numbers[7:8])
    assert first.tolist() == [7]


@pytest.mark.parametrize("suffix", [".ids", ".filter"])
def test_a_damaged_run_is_set_aside_and_told_and_the_rest_still_answers(
    tmp_path: Path, suffix: str
) -> None:
    filled(tmp_path, 2).close()
    victim = tmp_path / f"00000001{suffix}"
    victim.write_bytes(victim.read_bytes()[:-5])
    ids = IdSets(tmp_path)
    assert len(ids.notes) == 1
    assert "00000001" in ids.notes[0]
    assert (tmp_path / f"00000001{suffix}.broken").exists()
    assert ask(ids, events(51, 50)) == [(n, n) for n in range(51, 101)]
    assert ask(ids, [(1, 490_000, 9, 9)]) == [(9, 9)]


def test_a_missing_run_is_told(tmp_path: Path) -> None:
    filled(tmp_path, 1).close()
    (tmp_path / "00000001.ids").unlink()
    assert "00000001" in IdSets(tmp_path).notes[0]


@pytest.mark.parametrize("suffix", [".ids", ".filter"])
def test_a_flipped_bit_is_found_by_a_full_read(tmp_path: Path, suffix: str) -> None:
    filled(tmp_path, 1).close()
    victim = tmp_path / f"00000001{suffix}"
    data = bytearray(victim.read_bytes())
    data[10] ^= 4
    victim.write_bytes(data)
    (damage,) = IdSets(tmp_path).damage()
    assert "00000001" in damage


def test_orphans_of_a_crash_are_removed_and_their_names_not_used_again(tmp_path: Path) -> None:
    filled(tmp_path, 1).close()
    (tmp_path / "00000009.ids").write_bytes(b"half")
    (tmp_path / "00000009.filter").write_bytes(b"half")
    ids = IdSets(tmp_path)
    assert not list(tmp_path.glob("00000009*"))
    ask(ids, events(1000, 1))
    ids.spill(1)
    assert (tmp_path / "00000010.ids").exists()


def test_ids_known_from_elsewhere_are_added_in_bulk(tmp_path: Path) -> None:
    ids = IdSets(tmp_path, spill_ids=100)
    for begin in range(0, 1_000, 50):
        keys = [key_of(n) for n in range(begin, begin + 50)]
        numbers = np.arange(begin, begin + 50, dtype=np.uint64)
        hours = np.full(50, 490_000, dtype=np.int64)
        assert ids.add_bulk(keys, hours, numbers, numbers) == 50
        assert ids.add_bulk(keys, hours, numbers, numbers) == 0
    assert ids.checkpoint == 0
    assert ask(ids, [(5, 490_000, 0, 0)]) == [(5, 5)]


_MEASURE = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from bench.idsets import run
run(int(sys.argv[3]), sys.argv[1], Path(sys.argv[4]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", ["hour", "days"])
def test_memory_does_not_grow_with_the_ids(tmp_path: Path, case: str) -> None:
    command = [sys.executable, "-c", _MEASURE, case, str(ROOT), "1500000", str(tmp_path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    highest = [
        int(row.split("anonymous ")[1].split()[0])
        for row in output.splitlines()
        if "anonymous" in row
    ]
    assert len(highest) >= 10
    assert highest[-1] <= 100
    assert highest[-1] <= highest[2] + 15
