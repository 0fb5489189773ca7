"""The person's commands against a real port: what they print, and what they exit with."""

import asyncio
import csv
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail_aggregator.access.first_key import ensure_first_key
from opentrail_aggregator.cli import main
from opentrail_aggregator.status.sums import Sink
from tests.aggregator.api.serving import ListEngine, ToldStores, figures, hit, serving

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("OPENTRAIL_URL", raising=False)
    monkeypatch.delenv("OPENTRAIL_HOME", raising=False)
    monkeypatch.delenv("OPENTRAIL_KEY_FILE", raising=False)

    async def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = await asyncio.to_thread(main, list(arguments))
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


async def test_jsonl_prints_the_records_byte_for_byte(tmp_path: Path, run: Run) -> None:
    engine = ListEngine([hit(number, text="Zoë") for number in range(30)])
    async with serving(tmp_path, engine):
        code, out, _ = await run("lookup", "--home", str(tmp_path), "--output", "jsonl")
    assert (code, out) == (0, "".join(each.record.decode() + "\n" for each in engine.hits))


async def test_a_stream_that_breaks_off_is_no_answer(tmp_path: Path, run: Run) -> None:
    engine = ListEngine([hit(number) for number in range(1500)])
    async with serving(tmp_path, engine):
        code, out, err = await run(
            "lookup", "breaks", "--output", "jsonl", "--limit", "9999", "--home", str(tmp_path)
        )
    assert code == 1
    assert len(out.splitlines()) <= 1000
    assert "broke off" in err


async def test_json_is_one_array_of_the_same_records(tmp_path: Path, run: Run) -> None:
    engine = ListEngine([hit(number) for number in range(3)])
    async with serving(tmp_path, engine):
        _, out, _ = await run("lookup", "--home", str(tmp_path), "--output", "json")
        engine.hits.clear()
        _, nothing, _ = await run("lookup", "--home", str(tmp_path), "--output", "json")
    assert [each["eventID"][:8] for each in json.loads(out)] == ["00000000", "00000001", "00000002"]
    assert json.loads(nothing) == []


async def test_a_table_pages_through_more_than_one_page_holds(tmp_path: Path, run: Run) -> None:
    engine = ListEngine([hit(number) for number in range(2300)])
    async with serving(tmp_path, engine):
        _, out, _ = await run("lookup", "--home", str(tmp_path), "--limit", "2200")
    lines = out.splitlines()
    assert len(lines) == 2201
    assert lines[0].startswith("TIME")
    assert max(map(len, lines)) <= 120


async def test_csv_has_a_header_and_one_line_for_each_event(tmp_path: Path, run: Run) -> None:
    engine = ListEngine([hit(1, errorMessage='a "quoted", text'), hit(2)])
    async with serving(tmp_path, engine):
        _, out, _ = await run("lookup", "--home", str(tmp_path), "--output", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["errorMessage"] for row in rows] == ['a "quoted", text', ""]


async def test_nothing_found_is_no_failure(tmp_path: Path, run: Run) -> None:
    async with serving(tmp_path):
        assert (await run("lookup", "--home", str(tmp_path)))[:2] == (0, "")


async def test_a_wrong_query_exits_2_and_marks_the_place(tmp_path: Path, run: Run) -> None:
    async with serving(tmp_path):
        code, _, err = await run("lookup", "wrong AND", "--home", str(tmp_path))
    assert code == 2
    assert err.splitlines()[-2:] == ["  wrong AND", "        ^^^"]


async def test_no_server_exits_1_and_says_what_to_do(tmp_path: Path, run: Run) -> None:
    code, _, err = await run("lookup", "--home", str(tmp_path))
    assert code == 1
    assert "opentrail up" in err
    code, _, err = await run("lookup", "--url", "http://127.0.0.1:1", "--home", str(tmp_path))
    assert code == 1
    assert "no access key" in err
    ensure_first_key(tmp_path / "keys", SystemClock())
    code, _, err = await run("lookup", "--url", "http://127.0.0.1:1", "--home", str(tmp_path))
    assert code == 1
    assert "no answer" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["lookup", "--limit", "0"],
        ["lookup", "--output", "xml"],
        ["nothing"],
        [],
        ["show", "abc"],
        ["up", "--sample", "-3"],
        ["lookup", "--url", "ftp://x"],
        ["quarantine", "replay"],
        ["archive", "get", "nokey"],
    ],
)
async def test_a_wrong_command_line_exits_2(tmp_path: Path, run: Run, arguments: list[str]) -> None:
    async with serving(tmp_path) as (_, server):
        url = ["--home", str(tmp_path)] if arguments and "--url" not in arguments else []
        assert (await run(*arguments, *url))[0] == 2, server


async def test_http_elsewhere_than_loopback_exits_78(tmp_path: Path, run: Run) -> None:
    code, _, err = await run("up", "--home", str(tmp_path), "--http", "0.0.0.0:8470")
    assert code == 78
    assert "http.listen" in err


async def test_show_takes_the_id_that_the_table_shows(tmp_path: Path, run: Run) -> None:
    engine = ListEngine([hit(7)])
    async with serving(tmp_path, engine):
        code, out, _ = await run("show", "00000007", "--home", str(tmp_path))
        missing, _, err = await run("show", "ffffffff-0000-4000-8000-000000000000",
                                    "--home", str(tmp_path))  # fmt: skip
    assert (code, json.loads(out)["eventName"]) == (0, "GetObject")
    assert missing == 1
    assert "no event" in err


async def test_counts_are_printed_with_their_values(tmp_path: Path, run: Run) -> None:
    async with serving(tmp_path, ListEngine([hit(1)])):
        _, table, _ = await run("count", "--by", "eventName", "--home", str(tmp_path))
        _, total, _ = await run("count", "--home", str(tmp_path))
        _, text, _ = await run("count", "--by", "eventName", "--output", "csv",
                               "--home", str(tmp_path))  # fmt: skip
    assert table.splitlines()[1].split()[:2] == ["GetObject", "2"]
    assert total == "1\n"
    assert text == "eventName,count\nGetObject,2\nPutObject,1\n"


async def test_status_that_agrees_exits_0(tmp_path: Path, run: Run) -> None:
    async with serving(tmp_path):
        code, out, err = await run("status", "--home", str(tmp_path))
        _, text, _ = await run("status", "--output", "json", "--home", str(tmp_path))
    assert (code, err) == (0, "")
    assert "the sums agree" in out
    told = json.loads(text)
    assert told["indexed"] == {"index": 88}
    assert told["pending"] == {"index": 0, "archive": 10}


async def test_status_with_a_wrong_sum_exits_1_and_names_the_figure(
    tmp_path: Path, run: Run
) -> None:
    stores = ToldStores(figures(index=Sink("index", 9, 90, done=87, aside=2)))
    async with serving(tmp_path, stores=stores):
        code, out, err = await run("status", "--home", str(tmp_path))
    assert code == 1
    assert "DO NOT AGREE" in out
    assert err.startswith("opentrail: indexed:")


async def test_status_without_an_aggregator_counts_in_the_files(tmp_path: Path, run: Run) -> None:
    (tmp_path / "log").mkdir()
    code, out, err = await run("status", "--home", str(tmp_path), "--output", "json")
    assert code == 1
    assert "counted here instead" in err
    assert json.loads(out)["received"] == 0


@pytest.mark.parametrize("command", ["lookup", "count", "status", "up", "tail", "show", "import"])
async def test_help_teaches_with_examples(run: Run, command: str) -> None:
    code, out, _ = await run(command, "--help")
    assert code == 0
    assert f"opentrail {command}" in out
