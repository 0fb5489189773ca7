"""An import brings each event once, however often it is interrupted and wherever the file lies."""

import asyncio
import gzip
import io
import os
from pathlib import Path

import pytest

from opentrail.batch import batch_sources
from opentrail_agent.capture.progress import ProgressBar, text_of
from opentrail_agent.importing.files import run_import
from opentrail_agent.importing.journal import Journal
from opentrail_agent.importing.progress import ImportProgress, ImportResult
from tests.fakes.clock import FakeClock

from .events import line, lines, records_file
from .rig import PowerCut
from .spools import MemorySpool


def bare(number: int, **members: object) -> bytes:
    return line(number, eventID=None, **members) + b"\n"


async def imported(
    state: Path, spool: MemorySpool, *paths: Path, stop: asyncio.Event | None = None
) -> ImportResult:
    return await run_import(
        list(paths), spool.append, state, lambda progress: None, stop or asyncio.Event(),
        clock=FakeClock(),
    )  # fmt: skip


async def test_files_and_folders_are_imported(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.json").write_bytes(lines(1, 2) + b"junk\n")
    (folder / "deep" / "b.json.gz").write_bytes(gzip.compress(records_file(3, 4)))
    (folder / "CloudTrail-Digest").mkdir()
    (folder / "CloudTrail-Digest" / "d.json").write_bytes(b"{}")
    single = tmp_path / "c.json"
    single.write_bytes(lines(5))
    spool = MemorySpool()
    result = await imported(tmp_path / "state", spool, folder, single, tmp_path / "none")
    assert [int(each[-12:]) for each in spool.ids] == [1, 2, 3, 4, 5]
    assert (result.files, result.events, result.refused, result.left_out) == (3, 5, 1, 1)
    assert result.failed == [(str(tmp_path / "none"), "No such file or directory")]
    assert result.is_complete
    runs = batch_sources(spool.payloads[0])
    assert [run.kind for run in runs] == ["import"] * 3
    assert runs[0].source == f"file:{folder / 'a.json'}"


async def test_ids_do_not_depend_on_name_place_or_compression(tmp_path: Path) -> None:
    data = bare(1) + bare(2)
    (tmp_path / "a.json").write_bytes(data)
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(data))
    spools = [MemorySpool(), MemorySpool()]
    await imported(tmp_path / "one", spools[0], tmp_path / "a.json")
    await imported(tmp_path / "two", spools[1], tmp_path / "b.json.gz")
    assert spools[0].ids == spools[1].ids
    assert len(set(spools[0].ids)) == 2


async def test_the_same_content_twice_in_one_import_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(bare(1))
    (tmp_path / "b.json").write_bytes(bare(1))
    spool = MemorySpool()
    result = await imported(tmp_path / "s", spool, tmp_path / "a.json", tmp_path / "b.json")
    assert (result.files, result.already, len(spool.ids)) == (1, 1, 1)


async def test_importing_again_sends_the_same_events_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(bare(1))
    spool = MemorySpool()
    for _ in range(2):
        result = await imported(tmp_path / "state", spool, tmp_path / "a.json")
        assert (result.files, result.events) == (1, 1)
    assert len(spool.ids) == 2
    assert len(set(spool.ids)) == 1


@pytest.mark.parametrize("layout", ["lines", "records"])
async def test_an_import_that_is_stopped_goes_on_where_it_was(tmp_path: Path, layout: str) -> None:
    records = [line(number, eventID=None, fill="x" * 2000) for number in range(3000)]
    data = (
        b"\n".join(records) if layout == "lines" else b'{"Records":[' + b",".join(records) + b"]}"
    )
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(data, 1))
    (tmp_path / "b.json").write_bytes(bare(5000))
    spool = MemorySpool()
    stops = 0
    while True:
        stop = asyncio.Event()
        limit = len(spool.payloads) + 2

        async def append(
            payload: bytes, events: int, refused: int, positions: dict[str, int],
            stop: asyncio.Event = stop, limit: int = limit,
        ) -> None:  # fmt: skip
            await spool.append(payload, events, refused, positions)
            if len(spool.payloads) >= limit:
                stop.set()

        result = await run_import(
            [tmp_path], append, tmp_path / "state" / "x", lambda progress: None, stop,
            clock=FakeClock(),
        )  # fmt: skip
        if result.is_complete:
            break
        stops += 1
    assert stops >= 2
    assert len(set(spool.ids)) == 3001
    # A batch whose append was cut off by the stop may come again; nothing else does.
    assert len(spool.ids) <= 3001 + stops * 600


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_crash_loses_nothing_and_changes_no_id(tmp_path: Path, after: int) -> None:
    data = b"".join(bare(number, fill="x" * 2000) for number in range(2000))
    (tmp_path / "a.json").write_bytes(data)
    spool = MemorySpool()
    passes = 0

    def crash(point: str) -> None:
        nonlocal passes
        passes += 1
        if passes > after:
            raise PowerCut(point)

    with pytest.raises(PowerCut):
        await run_import(
            [tmp_path / "a.json"], spool.append, tmp_path / "state", lambda progress: None,
            asyncio.Event(), clock=FakeClock(), crash=crash,
        )  # fmt: skip
    assert len(spool.payloads) == after + 1
    result = await imported(tmp_path / "state", spool, tmp_path / "a.json")
    assert result.is_complete
    assert len(set(spool.ids)) == 2000
    again = len(spool.ids) - 2000
    assert 0 < again < 600  # The batch that was spooled and not yet remembered.


async def test_a_spool_that_fails_ends_the_import_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(bare(1))
    spool = MemorySpool()
    spool.fail_after = 0
    with pytest.raises(OSError, match="no space"):
        await imported(tmp_path / "state", spool, tmp_path / "a.json")


async def test_damaged_gzip_gives_what_can_be_read(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(5000)))
    (tmp_path / "a.gz").write_bytes(gzip.compress(lines(1, 2)) + packed[:1000])
    spool = MemorySpool()
    result = await imported(tmp_path / "state", spool, tmp_path / "a.gz")
    assert result.is_complete
    assert len(spool.ids) == 2
    assert result.refused >= 1


def test_a_torn_line_of_the_journal_costs_itself_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write({"a" * 64: None})
    journal.close()
    path = tmp_path / "import.journal"
    path.write_bytes(path.read_bytes() + b"b" * 64 + b" 12")
    journal = Journal(tmp_path)
    journal.write({"c" * 64: None})
    journal.close()
    again = Journal(tmp_path)
    assert again.reached("a" * 64) is None
    assert again.reached("c" * 64) is None
    assert again.reached("b" * 64) is not None
    again.close()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_few_lines_elsewhere() -> None:
    clock = FakeClock()
    terminal, pipe = Terminal(), io.StringIO()
    bars = [ProgressBar(terminal, clock), ProgressBar(pipe, clock)]
    progress = ImportProgress(files_total=4, bytes_total=1000)
    for done in range(0, 1001, 100):
        progress.bytes_done = done
        progress.events = done * 10
        for bar in bars:
            bar(progress)
        clock.advance(2.1)
    progress.files_done = 4
    for bar in bars:
        bar.close(progress)
    assert terminal.getvalue().count("\r") == 12
    assert "[############............]" in terminal.getvalue()
    assert len(pipe.getvalue().splitlines()) == 3
    assert pipe.getvalue().endswith("100% 4/4 files, 10,000 events\n")
    assert text_of(ImportProgress(bytes_total=10, bytes_done=5, refused=1), 10).endswith(
        "1 refused, 10 s left"
    )


async def test_the_progress_reaches_the_end(tmp_path: Path) -> None:
    data = b"".join(bare(number) for number in range(5000))
    (tmp_path / "a.json").write_bytes(data)
    (tmp_path / "b.gz").write_bytes(gzip.compress(bare(5001)))
    seen: list[tuple[float, int]] = []
    await run_import(
        [tmp_path / "a.json", tmp_path / "b.gz"], MemorySpool().append, tmp_path / "state",
        lambda progress: seen.append((progress.bytes_done, progress.bytes_total)),
        asyncio.Event(), clock=FakeClock(),
    )  # fmt: skip
    assert seen[-1][0] == seen[-1][1] > 0
