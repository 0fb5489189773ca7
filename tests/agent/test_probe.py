"""The probe tells a living agent from one that hangs, and a connected one from one that waits."""

import json
from pathlib import Path

import pytest

from opentrail_agent.probe import main
from tests.fakes.clock import FakeClock


def status(path: Path, clock: FakeClock, *, connected: float, problem: str = "") -> None:
    content = {
        "at_ns": clock.now_ns(),
        "figures": {"opentrail_agent_connected": connected},
        "problems": [{"key": "ship", "text": problem}] if problem else [],
    }
    (path / "status.json").write_text(json.dumps(content))


def test_a_fresh_and_connected_agent_is_live_and_ready(tmp_path: Path) -> None:
    clock = FakeClock()
    status(tmp_path, clock, connected=1)
    assert main(["live", str(tmp_path)], clock) == 0
    assert main(["ready", str(tmp_path)], clock) == 0


def test_an_agent_that_waits_for_its_aggregator_is_live_and_not_ready(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FakeClock()
    status(tmp_path, clock, connected=0, problem="a.example:8471 does not answer")
    assert main(["live", str(tmp_path)], clock) == 0
    assert main(["ready", str(tmp_path)], clock) == 1
    assert "a.example:8471 does not answer" in capsys.readouterr().err


def test_an_agent_that_says_nothing_for_half_a_minute_hangs(tmp_path: Path) -> None:
    clock = FakeClock()
    status(tmp_path, clock, connected=1)
    clock.advance(29)
    assert main(["live", str(tmp_path)], clock) == 0
    clock.advance(2)
    assert main(["live", str(tmp_path)], clock) == 1
    assert main(["ready", str(tmp_path)], clock) == 1


@pytest.mark.parametrize("content", [None, "", "[]", '{"at_ns": "x", "figures": {}}'])
def test_no_status_is_no(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    assert main(["live", str(tmp_path)], FakeClock()) == 1


def test_a_wrong_call_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live"]) == 2
    assert "usage" in capsys.readouterr().err
