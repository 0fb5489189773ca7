"""`opentrail index held`: what was refused in every form can be read, with the server's words."""

import json
from pathlib import Path

import pytest

from opentrail_aggregator.cli import main
from opentrail_aggregator.opensearch.held import Held
from tests.aggregator.opensearch.store import document


def hold(home: Path, count: int) -> None:
    held = Held(home / "opensearch")
    for number in range(count):
        record = json.dumps({"eventID": f"e{number}", "eventTime": "x"}).encode()
        day, refused = document(record, event_id=f"e{number}")
        held.put(refused, day, f"mapper_parsing_exception: never {number}")
    held.close()


def test_held_events_are_listed_with_their_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(tmp_path, 3)
    assert main(["index", "held", "--home", str(tmp_path), "--limit", "2"]) == 0
    said = capsys.readouterr()
    assert "never 0" in said.out
    assert "never 1" in said.out
    assert "never 2" not in said.out
    assert "1 more" in said.err
    assert main(["index", "held", "--home", str(tmp_path), "--output", "jsonl"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [json.loads(each["record"])["eventID"] for each in entries] == ["e0", "e1", "e2"]


def test_nothing_held_is_no_error_and_no_home_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", "held", "--home", str(tmp_path)]) == 0
    assert main(["index", "held", "--home", str(tmp_path / "none")]) == 2
    assert "no aggregator's folder" in capsys.readouterr().err
