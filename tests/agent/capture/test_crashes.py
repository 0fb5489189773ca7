"""A crash at any step loses nothing and makes no event twice under another id."""

import gzip
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.batch import batch_refused, batch_sources
from opentrail_aggregator.consolidate.refusals import NO_KEY, refusal_keys

from .events import line, lines
from .rig import PowerCut, Rig

POINTS = ["agent.read", "agent.sealed", "agent.spooled", "agent.positions"]


def bare(number: int) -> bytes:
    return line(number, eventID=None) + b"\n"


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_nothing_and_changes_no_id(tmp_path: Path, point: str, passes: int) -> None:
    path = tmp_path / "a.json"
    rig = Rig(tmp_path, str(path))
    rig.cut_at, rig.cut_after = point, passes
    number = cuts = 0
    while cuts < 4:
        with path.open("ab") as file:
            file.write(bare(number) + bare(number + 1))
        number += 2
        try:
            rig.settle()
        except PowerCut:
            cuts += 1
            rig.crash()
            rig.cut_at, rig.cut_after = point, passes
    rig.cut_at = ""
    rig.settle()
    assert {event.line for event in rig.events} == {bare(each)[:-1] for each in range(number)}
    assert len(set(rig.ids)) == number


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_no_refusal_and_changes_no_key_of_one(
    tmp_path: Path, point: str, passes: int
) -> None:
    path = tmp_path / "a.json"
    rig = Rig(tmp_path, str(tmp_path / "a*.json"))
    rig.cut_at, rig.cut_after = point, passes
    number = cuts = 0
    while cuts < 4:
        with path.open("ab") as file:
            file.write(b"no event\n" + bare(number) + b'{"eventTime":"never"}\n')
        number += 1
        try:
            rig.settle()
        except PowerCut:
            cuts += 1
            rig.crash()
            path = path.rename(tmp_path / f"a-{cuts}.json")  # Its name is not part of it.
            rig.cut_at, rig.cut_after = point, passes
    rig.cut_at = ""
    rig.settle()
    keys = [
        key
        for payload in rig.spool
        for key in refusal_keys("web-1", batch_sources(payload), batch_refused(payload))
    ]
    assert NO_KEY not in keys
    assert len(set(keys)) == 2 * number
    if point == "agent.spooled":
        assert len(keys) > 2 * number, "nothing was read twice"


def test_an_event_is_never_spooled_before_its_generation_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(bare(1))
    rig = Rig(tmp_path, str(path))
    rig.cut_at = "agent.spooled"
    with pytest.raises(PowerCut):
        rig.settle()
    assert len(rig.ids) == 1
    rig.crash()
    rig.settle()
    assert len(rig.ids) == 2  # Read again, because no position was written,
    assert len(set(rig.ids)) == 1  # and it is the same event.


def test_a_position_is_never_written_before_its_batch_is_spooled(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(bare(1))
    rig = Rig(tmp_path, str(path))
    while rig.harvest.turn().draft is None:  # Sealed, and then the process dies.
        rig.clock.advance(0.1)
    rig.harvest.close()
    rig.start()
    rig.settle()
    assert len(rig.ids) == 1


def test_positions_that_cannot_be_read_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(lines(1))
    rig = Rig(tmp_path, str(path))
    rig.settle()
    rig.restart()
    rig.harvest.close()
    state = tmp_path / "state" / "positions.json"
    state.write_bytes(state.read_bytes()[:30])
    rig.start()
    rig.settle()
    assert rig.numbers == [1, 1]
    assert "set aside" in rig.metrics.problems()["capture.positions.broken"]
    assert state.with_name("positions.json.broken").exists()


STEPS = st.lists(
    st.sampled_from(
        ["append", "append", "append", "partial", "rename", "copytruncate", "gzip", "delete",
         "swap", "step", "step", "settle", "restart", "cut.read", "cut.sealed", "cut.spooled",
         "cut.positions"]
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip


class Writer:
    """Writes a log and rotates it in every way, and knows what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "a.json"
        self.number = 0
        self.rotations = 0
        self.pending = b""
        self.lines: list[bytes] = []

    def append(self) -> None:
        with self.path.open("ab") as file:
            file.write(self.pending)
            self.pending = b""
            for _ in range(random.Random(self.number).randint(1, 4)):
                file.write(bare(self.number))
                self.lines.append(bare(self.number)[:-1])
                self.number += 1

    def partial(self) -> None:
        if self.pending:
            return
        whole = bare(self.number)
        cut = 1 + self.number * 37 % (len(whole) - 2)
        with self.path.open("ab") as file:
            file.write(whole[:cut])
        self.pending = whole[cut:]
        self.lines.append(whole[:-1])
        self.number += 1

    def complete(self) -> None:
        if self.pending:
            with self.path.open("ab") as file:
                file.write(self.pending)
            self.pending = b""

    def rotate(self, how: str) -> None:
        self.complete()
        if not self.path.exists():
            return
        for name in sorted(self.folder.iterdir(), reverse=True):
            if name.name.startswith("a.json.") and not name.name.endswith(".gz"):
                number = int(name.name.split(".")[2])
                name.rename(self.folder / f"a.json.{number + 1}")
        target = self.folder / "a.json.1"
        if how == "rename":
            self.path.rename(target)
        elif how == "copytruncate":
            shutil.copy(self.path, target)
            os.truncate(self.path, 0)
        elif how == "swap":
            self.path.rename(target)
            self.path.touch()

    def gzip(self) -> None:
        plain = [
            each for each in sorted(self.folder.iterdir())
            if each.name.startswith("a.json.") and not each.name.endswith(".gz")
        ]  # fmt: skip
        if plain:
            self.rotations += 1
            packed = self.folder / f"a.json.{100 + self.rotations}.gz"
            packed.write_bytes(gzip.compress(plain[-1].read_bytes()))
            plain[-1].unlink()


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
@pytest.mark.slow
def test_any_rotations_and_crashes_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    logs = folder / "logs"
    logs.mkdir()
    rig = Rig(folder, str(logs / "*"))
    writer = Writer(logs)

    def safely(seconds: float) -> None:
        try:
            if seconds:
                rig.settle(seconds)
            else:
                rig.step()
        except PowerCut:
            rig.crash()
            if seconds:
                rig.settle(seconds)

    for step in steps:
        if step == "append":
            writer.append()
        elif step == "partial":
            writer.partial()
        elif step in ("rename", "copytruncate", "swap"):
            if step == "copytruncate":
                # What was written since the last look is in the copy; the copy is found by what
                # was read before, so something must have been.
                writer.complete()
                safely(3)
            writer.rotate(step)
        elif step == "gzip":
            safely(3)
            writer.gzip()
        elif step == "delete":
            writer.complete()
            safely(3)
            if writer.path.exists():
                writer.path.unlink()
        elif step == "step":
            safely(0)
        elif step == "settle":
            safely(3)
        elif step == "restart":
            rig.restart()
        else:
            rig.cut_at, rig.cut_after = step.replace("cut", "agent"), 1
    rig.cut_at = ""
    writer.complete()
    rig.settle(6)
    assert sorted({event.line for event in rig.events}) == sorted(writer.lines)
    assert len(set(rig.ids)) == len(writer.lines)
    assert not rig.refused
    assert rig.lost_bytes == 0
    rig.harvest.close()
