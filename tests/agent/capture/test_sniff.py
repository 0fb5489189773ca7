"""What nobody named is taken only if it looks like JSON."""

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from opentrail_agent.capture.sniff import why_no_lines, why_not_json
from opentrail_agent.commands.once import _say_import
from opentrail_agent.importing.files import run_import
from opentrail_agent.importing.progress import ImportResult
from tests.fakes.clock import FakeClock

from .events import line, lines, records_file
from .rig import Rig
from .spools import MemorySpool

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def fill(folder: Path) -> None:
    """A folder with four files of records, and six of something else."""
    folder.mkdir()
    (folder / "LICENSE").write_text("Copyright\n" * 100)
    (folder / "README.md").write_text("# Records\n\nas they are\n")
    (folder / "a.png").write_bytes(PNG)
    (folder / "t.gz").write_bytes(gzip.compress(b"plain text\n"))
    (folder / "n.csv").write_bytes(b'"a","b"\n1,2\n')
    (folder / "blank").write_bytes(b"\n" * 70_000)
    (folder / "empty.json").write_bytes(b"")
    (folder / "1.json").write_bytes(b"\xef\xbb\xbf \r\n" + lines(1) + b"junk\n")
    (folder / "2.json.gz").write_bytes(gzip.compress(records_file(2)))
    (folder / "3.log").write_bytes(b"[" + line(3) + b"]")
    (folder / "4").write_bytes(records_file(4, indent=2))


async def imported(state: Path, spool: MemorySpool, *paths: Path) -> ImportResult:
    return await run_import(
        list(paths), spool.append, state, lambda progress: None, asyncio.Event(), clock=FakeClock()
    )


async def test_an_import_of_a_folder_takes_json_and_lists_the_rest(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    os.mkfifo(tmp_path / "in" / "pipe")
    spool = MemorySpool()
    result = await imported(tmp_path / "state", spool, tmp_path / "in")
    assert sorted(int(each[-12:]) for each in spool.ids) == [1, 2, 3, 4]
    assert (result.refused, result.failed, result.is_complete) == (1, [], True)
    skipped = {Path(path).name: reason for path, reason in result.skipped}
    assert set(skipped) == {"LICENSE", "README.md", "a.png", "t.gz", "n.csv", "blank", "pipe"}
    assert skipped["LICENSE"] == "does not look like JSON: it begins with b'C'"
    assert skipped["pipe"] == "is no regular file"


async def test_a_file_that_is_named_is_always_taken(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    spool = MemorySpool()
    result = await imported(tmp_path / "state", spool, tmp_path / "in" / "README.md")
    assert (result.skipped, result.refused) == ([], 2)


async def test_a_damaged_gzip_in_a_folder_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.gz").write_bytes(b"\x1f\x8b\x08\0" + b"\xff" * 100)
    spool = MemorySpool()
    result = await imported(tmp_path / "state", spool, tmp_path / "in")
    assert (result.skipped, result.refused) == ([], 1)


def test_skipped_files_are_listed_to_the_person(capsys: pytest.CaptureFixture[str]) -> None:
    skipped = [(f"/in/{number}", "does not look like JSON") for number in range(23)]
    result = ImportResult(1, 0, 2, 0, [], [], 0, skipped, True)
    assert _say_import(result, True) == 0
    out, err = capsys.readouterr()
    assert out == "1 files, 2 events; 23 files skipped that are no JSON\n"
    assert "/in/19: skipped: does not look like JSON; to import it" in err
    assert "/in/20" not in err
    assert "... and 3 more" in err


@pytest.mark.parametrize("pattern", ["in", "in/*", "in/**"])
def test_behind_a_glob_only_json_is_followed(
    tmp_path: Path, pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path / "in")
    rig = Rig(tmp_path / "s", f"{tmp_path}/{pattern}")
    rig.settle(4)
    assert sorted(rig.numbers) == [1, 2, 3, 4]
    assert len(rig.refused) == 1
    assert rig.metrics.value("opentrail_agent_skipped_files") == 6
    assert caplog.text.count("LICENSE: not followed") == 1
    assert rig.harvest.report.reported_at_ns > 0
    (tmp_path / "in" / "LICENSE").unlink()
    rig.settle()
    assert rig.metrics.value("opentrail_agent_skipped_files") == 5


def test_a_file_named_in_full_is_followed_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"plain text\n")
    rig = Rig(tmp_path, str(path))
    rig.settle()
    assert len(rig.refused) == 1


@pytest.mark.parametrize("before", [b"rest of a line}\n", b"\0" * 5000, b"\0\0rest\n"])
def test_a_log_that_was_cut_off_is_followed_behind_a_glob(tmp_path: Path, before: bytes) -> None:
    (tmp_path / "a.json").write_bytes(before + lines(1, 2))
    rig = Rig(tmp_path / "s", f"{tmp_path}/*.json")
    rig.settle()
    assert rig.numbers == [1, 2]


def test_a_skipped_file_is_followed_once_it_holds_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"starting up\n")
    rig = Rig(tmp_path / "s", f"{tmp_path}/*.json")
    rig.settle()
    assert rig.refused == []
    with path.open("ab") as file:
        file.write(lines(1))
    rig.settle()
    assert rig.numbers == [1]
    assert len(rig.refused) == 1


def test_what_is_not_known_yet_is_taken() -> None:
    for beginning in (b"", b" \n", b"\xef\xbb\xbf"):
        assert why_not_json(beginning) == ""
        assert why_no_lines(beginning) == ""
    assert why_not_json(b"\0{}")
    assert not why_no_lines(b"\0{}")
