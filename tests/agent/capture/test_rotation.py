"""However a file is rotated, each of its lines becomes one event; what is lost is counted."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from opentrail_agent.capture.access import HOLDS_BACK_SECONDS

from .events import line, lines
from .rig import Rig


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def bare(number: int) -> bytes:
    """A record without an eventID."""
    return line(number, eventID=None) + b"\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def test_lines_are_events_once_they_are_whole(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    append(path, lines(1, 2) + line(3)[:50])
    rig.settle()
    assert rig.numbers == [1, 2]
    append(path, line(3)[50:])  # No final newline: the object is whole all the same.
    rig.settle()
    assert rig.numbers == [1, 2, 3]
    append(path, b"\n" + lines(4))
    rig.settle()
    assert rig.numbers == [1, 2, 3, 4]
    assert not rig.refused


def test_a_stop_and_a_start_go_on_where_it_was(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    append(path, lines(1, 2) + line(3)[:50])
    rig.settle()
    rig.restart()
    rig.settle()
    append(path, line(3)[50:] + b"\n" + lines(4))
    rig.settle()
    assert rig.numbers == [1, 2, 3, 4]


def test_a_new_file_is_seen_within_a_second(tmp_path: Path, logs: Path) -> None:
    rig = Rig(tmp_path, str(logs / "**" / "*.json"))
    rig.settle()
    deep = logs / "x" / "y"
    deep.mkdir(parents=True)
    (deep / "new.json").write_bytes(lines(1))
    before = rig.clock.monotonic()
    while not rig.events:
        rig.step()
    assert rig.clock.monotonic() - before <= 1


def test_a_folder_is_watched_file_by_file(tmp_path: Path, logs: Path) -> None:
    (logs / "a.json").write_bytes(lines(1))
    (logs / ".hidden").write_bytes(lines(2))
    rig = Rig(tmp_path, str(logs))
    rig.settle()
    assert rig.numbers == [1]


@pytest.mark.parametrize("watch", ["a.json", "a.json*", "*"])
@pytest.mark.parametrize("restart", [False, True])
def test_rotation_by_rename(tmp_path: Path, logs: Path, watch: str, restart: bool) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(logs / watch))
    append(path, lines(1, 2))
    rig.settle()
    append(path, lines(3))
    path.rename(logs / "a.json.1")
    append(path, lines(4))
    if restart:
        rig.restart()
    rig.settle()
    append(logs / "a.json.1", lines(5))  # A writer that has not noticed yet.
    rig.settle()
    assert sorted(rig.numbers) == [1, 2, 3, 4, 5]
    assert rig.lost_bytes == 0


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_line_after_a_rotation_is_another_event(
    tmp_path: Path, logs: Path, restart: bool
) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(logs / "a.json*"))
    append(path, bare(1))
    rig.settle()
    path.rename(logs / "a.json.1")
    append(path, bare(1))
    if restart:
        rig.restart()
    rig.settle()
    assert len(rig.ids) == len(set(rig.ids)) == 2


def test_files_that_begin_alike_are_told_apart(tmp_path: Path, logs: Path) -> None:
    rig = Rig(tmp_path, str(logs / "*.json"))
    for name in ("a.json", "b.json", "c.json"):
        append(logs / name, bare(1) * 10)
    append(logs / "c.json", bare(2))
    rig.settle()
    assert len(rig.ids) == len(set(rig.ids)) == 31


def test_a_name_of_the_family_and_a_kilobyte_in_common_do_not_make_a_copy(
    tmp_path: Path, logs: Path
) -> None:
    rig = Rig(tmp_path, str(logs / "*"))
    append(logs / "a.json", bare(1) * 8)
    rig.settle()
    append(logs / "a.json.1", bare(1) * 4 + bare(2) * 6)
    rig.settle(5)
    assert len(rig.events) == 18
    assert len(set(rig.ids)) == 18


def test_a_copy_that_the_original_outgrew_is_known(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(logs / "*"))
    append(path, bare(1) * 8)
    shutil.copy(path, tmp_path / "copy")
    append(path, bare(2))
    rig.settle()
    count = len(set(rig.ids))
    (tmp_path / "copy").rename(logs / "a.json.1")
    rig.settle(5)
    assert len(set(rig.ids)) == count


@pytest.mark.parametrize("rounds", [1, 30])
def test_fifty_rotations_in_a_second_lose_nothing(tmp_path: Path, logs: Path, rounds: int) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(logs / "a.json*"))
    number = 0
    for round_ in range(rounds):
        append(path, lines(number, number + 1))
        number += 2
        path.rename(logs / f"a.json.{round_ + 1}")
        rig.clock.advance(0.02)
        rig.step()
    rig.settle()
    assert sorted(rig.numbers) == list(range(number))


@pytest.mark.parametrize("watch", ["a.json", "*"])
def test_copytruncate_loses_nothing_while_the_copy_lies_beside(
    tmp_path: Path, logs: Path, watch: str
) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(logs / watch))
    append(path, bare(1) + bare(2))
    rig.settle()
    append(path, bare(3))
    shutil.copy(path, logs / "a.json.1")
    os.truncate(path, 0)
    append(path, bare(4))
    rig.settle(5)
    assert len(rig.ids) == len(set(rig.ids)) == 4
    assert rig.lost_bytes == 0
    assert rig.metrics.value("opentrail_agent_truncations_total") == 1


def test_what_copytruncate_takes_away_is_counted(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    append(path, lines(1))
    rig.settle()
    append(path, lines(2))
    held = rig.harvest._census.followers
    for follower in held.values():
        follower.look(path.stat(), rig.clock.monotonic())  # Seen, not read yet.
    os.truncate(path, 0)
    append(path, bare(4)[:60])
    rig.settle()
    assert rig.numbers == [1]
    assert rig.lost_bytes == len(lines(2))


@pytest.mark.parametrize("longer", [False, True])
def test_a_file_written_anew_in_place_is_read_from_its_beginning(
    tmp_path: Path, logs: Path, longer: bool
) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    append(path, lines(1, 2, 3))
    rig.settle()
    path.write_bytes(lines(4, 5, 6, 7) if longer else lines(4))
    rig.settle()
    assert rig.numbers == [1, 2, 3, 4, 5, 6, 7] if longer else [1, 2, 3, 4]
    generations = {each["generation"] for each in rig.harvest.report.sources}
    assert len(generations) == 1


def test_a_file_written_anew_that_begins_alike_is_noticed(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    append(path, bare(1) * 8)
    rig.settle()
    path.write_bytes(bare(1) * 4 + bare(2) * 6)
    rig.settle()
    assert len(rig.events) == len(set(rig.ids)) == 18


def test_a_file_replaced_by_one_of_the_same_size_is_noticed(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    append(path, lines(1))
    rig.settle()
    path.write_bytes(lines(2))
    os.utime(path, ns=(1, 1))
    rig.settle()
    assert rig.numbers == [1, 2]


def test_a_file_truncated_while_nobody_looked_is_another_generation(
    tmp_path: Path, logs: Path
) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    append(path, bare(1) * 5)
    rig.settle()
    rig.restart()
    path.write_bytes(bare(2) * 9)
    rig.settle()
    assert len(rig.ids) == len(set(rig.ids)) == 14


def test_a_symbolic_link_that_is_swapped_leads_to_both_files(tmp_path: Path, logs: Path) -> None:
    (logs / "one").write_bytes(lines(1))
    (logs / "two").write_bytes(lines(3))
    link = logs / "current"
    link.symlink_to("one")
    rig = Rig(tmp_path, str(link))
    rig.settle()
    append(logs / "one", lines(2))
    link.unlink()
    link.symlink_to("two")
    rig.settle()
    assert rig.numbers == [1, 2, 3]


def test_an_inode_that_is_used_again_is_another_file(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path), deleted_keep=0.5)
    seen: set[int] = set()
    for number in range(0, 20, 2):
        path.write_bytes(lines(number, number + 1))
        seen.add(path.stat().st_ino)
        rig.settle()
        path.unlink()
        rig.settle(2)
    assert rig.numbers == list(range(20))
    if len(seen) == 10:
        pytest.skip("this file system does not use an inode again")


def test_an_inode_used_again_while_nobody_looked_is_another_file(
    tmp_path: Path, logs: Path
) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path))
    path.write_bytes(bare(1) * 3)
    rig.settle()
    rig.restart()
    rig.harvest.close()
    inode = path.stat().st_ino
    path.unlink()
    for attempt in range(50):
        path = logs / f"a{attempt}.json"
        path.write_bytes(bare(2) * 3)
        if path.stat().st_ino == inode:
            break
    path.rename(logs / "a.json")
    rig.start()
    rig.settle()
    assert len(rig.ids) == len(set(rig.ids)) == 6


def test_a_file_compressed_while_its_inode_goes_to_a_new_file_is_known_again(
    tmp_path: Path, logs: Path
) -> None:
    rotated, packed = logs / "a.json.1", logs / "a.json.1.gz"
    rig = Rig(tmp_path, str(logs / "*.json*"))
    (logs / "a.json").write_bytes(bare(1) * 20)
    rig.settle()
    (logs / "a.json").rename(rotated)
    rig.settle()
    rig.restart()  # Read to its end, it is not opened again: its inode is free once it is gone.
    rig.settle()
    inode = rotated.stat().st_ino
    (logs / "working").write_bytes(gzip.compress(rotated.read_bytes()))
    (logs / "working").rename(packed)
    rotated.unlink()
    for attempt in range(50):
        path = logs / f"probe{attempt}"
        path.write_bytes(bare(2) * 20)
        if path.stat().st_ino == inode:
            break
    else:
        pytest.skip("this file system does not use an inode again")
    path.rename(logs / "b.json")
    rig.settle(5)
    assert len(rig.ids) == len(set(rig.ids)) == 40


def test_a_file_deleted_while_open_is_read_to_its_end(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(path), deleted_keep=2)
    append(path, lines(1))
    rig.settle()
    with path.open("ab") as file:
        file.write(lines(2))
        file.flush()
        path.unlink()
        rig.settle(1)
        file.write(lines(3) + line(4)[:80])
        file.flush()
        rig.settle(4)
    assert rig.numbers == [1, 2, 3]
    (torn,) = rig.refused
    assert (torn.reason, torn.length) == ("not_json", 80)
    assert not rig.harvest._census.followers


@pytest.mark.parametrize("watch", ["a.json*", "*"])
@pytest.mark.parametrize("restart", [False, True])
def test_gzip_after_rotation_doubles_nothing(
    tmp_path: Path, logs: Path, watch: str, restart: bool
) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(logs / watch))
    append(path, bare(1) + bare(2))
    rig.settle()
    path.rename(logs / "a.json.1")
    append(path, bare(3))
    if not restart:
        rig.settle()
    else:
        rig.restart()
    packed = gzip.compress((logs / "a.json.1").read_bytes())
    target = logs / "a.json.1.gz"
    target.write_bytes(packed[:20])  # gzip at work
    rig.step()
    target.write_bytes(packed)
    (logs / "a.json.1").unlink()
    rig.settle(5)
    assert len(rig.ids) == len(set(rig.ids)) == 3
    assert not rig.refused


def test_gzip_of_a_file_that_was_not_read_yet_doubles_nothing(tmp_path: Path, logs: Path) -> None:
    path = logs / "z.json"
    append(logs / "big.json", lines(*range(1000, 9000)))
    rig = Rig(tmp_path, str(logs / "*"))
    rig.step()  # The big file fills the batch: the other one is open and waits.
    append(path, bare(1) + bare(2))
    rig.clock.advance(2)
    rig.step()
    path.rename(logs / "z.json.1")
    packed = gzip.compress((logs / "z.json.1").read_bytes())
    (logs / "z.json.1").unlink()
    (logs / "z.json.1.gz").write_bytes(packed)
    for _ in range(3):
        rig.clock.advance(2)
        rig.step()
    rig.settle(5)
    own = [event.id for event in rig.events if b"eventID" not in event.line]
    assert len(set(own)) == 2, "the copy is known as one, however often it is read"
    assert len(rig.ids) - len(own) == 8000


def test_gzip_of_what_is_on_its_way_to_the_spool_is_not_read_again(
    tmp_path: Path, logs: Path
) -> None:
    """Several batches may be under way: the place they reached is known when they are durable."""
    path = logs / "a.json"
    append(path, lines(*range(40)))
    rig = Rig(tmp_path, str(logs / "*"))
    rig.settle()
    append(path, lines(*range(40, 80)))
    rig.clock.advance(2)
    under_way = rig.harvest.turn()
    while under_way.draft is None:
        rig.clock.advance(0.3)
        under_way = rig.harvest.turn()
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (logs / "a.json.1.gz").write_bytes(packed)
    for _ in range(5):
        rig.clock.advance(2)
        turn = rig.harvest.turn()
        assert turn.draft is None, "read from where the original stood in the spool"
    rig.harvest.settle(under_way)
    rig.settle(5)
    assert rig.numbers == list(range(40))


def test_gzip_while_nobody_looked_gives_what_was_not_read(tmp_path: Path, logs: Path) -> None:
    path = logs / "a.json"
    rig = Rig(tmp_path, str(logs / "a.json*"))
    append(path, bare(1) + bare(2))
    rig.settle()
    rig.restart()
    append(path, bare(3))
    (logs / "a.json.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.write_bytes(bare(4))
    rig.settle(5)
    assert len(rig.ids) == len(set(rig.ids)) == 4
    assert rig.lost_bytes == 0


def test_permission_that_is_lost_and_comes_back(tmp_path: Path, logs: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    path = logs / "a.json"
    append(path, lines(1))
    path.chmod(0)
    rig = Rig(tmp_path, str(path))
    rig.settle()
    assert "a.json" in rig.metrics.problems()["capture.access"]
    assert rig.harvest.report.reported_at_ns == 0
    path.chmod(0o600)
    rig.settle()
    assert rig.numbers == [1]
    assert not rig.metrics.problems()


def test_a_folder_that_cannot_be_read_is_said_and_forgotten_again(
    tmp_path: Path, logs: Path
) -> None:
    append(logs / "a.json", lines(1))
    (logs / "loop.json").symlink_to("loop.json")  # ELOOP: fails for root too.
    rig = Rig(tmp_path, str(logs / "*.json"))
    rig.settle()
    assert "loop.json" in rig.metrics.problems()["capture.access"]
    assert rig.harvest.report.reported_at_ns == 0
    assert rig.numbers == [1]
    (logs / "loop.json").unlink()
    rig.settle()
    assert not rig.metrics.problems()
    assert rig.harvest.report.reported_at_ns > 0


def test_few_files_are_held_open(tmp_path: Path, logs: Path) -> None:
    rig = Rig(tmp_path, str(logs / "*.json"), open_files_max=5)
    for number in range(20):
        append(logs / f"{number}.json", lines(number))
    rig.settle()
    assert sorted(rig.numbers) == list(range(20))
    held = [each for each in rig.harvest._census.followers.values() if each.is_open]
    assert len(held) <= 5
    for number in range(20):
        append(logs / f"{number}.json", lines(number + 100))
    rig.settle()
    assert sorted(rig.numbers) == [*range(20), *range(100, 120)]


def test_what_cannot_be_read_for_long_no_longer_holds_back_what_is_said_of_the_others(
    tmp_path: Path, logs: Path
) -> None:
    path, wrong = logs / "a.json", logs / "b.json"
    append(path, lines(1))
    wrong.symlink_to(wrong)  # Nobody, not even root, can open it.
    rig = Rig(tmp_path, str(path), str(wrong))
    rig.settle(HOLDS_BACK_SECONDS - 10)
    assert rig.numbers == [1]
    assert rig.harvest.report.reported_at_ns == 0
    rig.settle(15)
    began = rig.harvest.report.reported_at_ns
    assert began > 0
    assert "b.json" in rig.metrics.problems()["capture.access"]  # Said as long as it lasts.
    assert rig.metrics.value("opentrail_agent_unreadable_paths") == 1
    append(path, lines(2))
    rig.settle()
    assert rig.harvest.report.reported_at_ns > began
    wrong.unlink()
    append(wrong, lines(3))
    rig.settle()
    assert rig.numbers == [1, 2, 3]
    assert not rig.metrics.problems()
    assert rig.metrics.value("opentrail_agent_unreadable_paths") == 0
    # The next time is news again.
    wrong.unlink()
    wrong.symlink_to(wrong)
    rig.settle()
    before = rig.harvest.report.reported_at_ns
    rig.settle(5)
    assert rig.harvest.report.reported_at_ns == before
