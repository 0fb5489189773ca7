"""Log lines: whole objects with their ids, bounded in length and number, libraries kept quiet."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from opentrail.logs import (
    LINE_MAX_BYTES,
    OURS,
    LimitedHandler,
    LineFormatter,
    LogFormat,
    LoggingSettings,
    ids,
    is_json_line,
    message_of,
    set_up_logs,
)

AT = 1_795_528_800.25  # 2026-11-24T14:00:00.250Z


class Rig:
    """A handler whose lines are read, fed with records of any moment."""

    def __init__(self, form: LogFormat = "json", seconds: float = 60.0) -> None:
        self.out = io.StringIO()
        self.held: list[str] = []
        self.wrote = threading.Event()
        self.handler = LimitedHandler(self.out, self.held.append, limit=3, seconds=seconds)
        self.handler.setFormatter(LineFormatter("ingest", form, {"agent": "web-1"}))

    def say(self, at: float, text: str, *values: object, line: int = 1, extra: Any = None) -> None:
        record = logging.LogRecord(
            "opentrail_agent.ship", logging.WARNING, "ship.py", line, text, values, None
        )
        record.created = at
        record.__dict__.update(extra or {})
        self.handler.handle(record)

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    @property
    def messages(self) -> list[str]:
        return [message_of(line) for line in self.lines]


def test_a_json_line_has_time_level_role_logger_message_and_ids() -> None:
    rig = Rig()
    rig.say(AT, 'batch "%s"\nis aside', "7", extra=ids(sequence=7, epoch="ab"))
    assert [json.loads(line) for line in rig.lines] == [
        {
            "time": "2026-11-24T14:00:00.250Z", "level": "warning", "role": "ingest",
            "logger": "opentrail_agent.ship", "message": 'batch "7"\nis aside', "agent": "web-1",
            "sequence": 7, "epoch": "ab",
        }
    ]  # fmt: skip
    assert is_json_line(rig.lines[0])


def test_a_console_line_is_one_line_whatever_it_says() -> None:
    rig = Rig("console")
    rig.say(AT, "one\ntwo")
    assert rig.lines == ["2026-11-24T14:00:00Z warning ingest ship: one | two"]


@pytest.mark.parametrize("text", ["x" * 9000, "\U0001f600" * 5000, "\n" * 8000])
def test_a_long_line_is_cut_and_stays_an_object(text: str) -> None:
    rig = Rig()
    rig.say(AT, "%s", text)
    (line,) = rig.lines
    assert len(line.encode()) <= LINE_MAX_BYTES
    assert text.startswith(json.loads(line)["message"])


def test_a_fault_keeps_the_end_of_its_traceback() -> None:
    rig = Rig()
    try:
        raise ValueError("y" * 3000 + " the cause")
    except ValueError:
        fault = sys.exc_info()
    rig.say(AT, "failed", extra={"exc_info": fault})
    found = json.loads(rig.lines[0])
    assert found["traceback"].endswith(" the cause")
    assert len(rig.lines[0]) <= LINE_MAX_BYTES


def test_lines_alike_are_held_back_counted_and_told_once() -> None:
    rig = Rig()
    for number in range(10):
        rig.say(AT + number, "refused %d", number)
    rig.say(AT, "another", line=2)
    assert rig.messages == ["refused 0", "refused 1", "refused 2", "another"]
    assert rig.held == ["opentrail_agent.ship"] * 7
    rig.say(AT + 61, "refused %d", 10)
    # The template, not what the lines held.
    told = "held back 7 lines like this one: refused %d"
    assert rig.messages[4:] == [told, "refused 10"]
    rig.handler.close()
    assert len(rig.lines) == 6


def test_what_was_held_back_is_told_when_the_process_ends() -> None:
    rig = Rig()
    for _ in range(5):
        rig.say(AT, "refused")
    rig.handler.close()
    assert rig.messages[3:] == ["held back 2 lines like this one: refused"]


def test_what_was_held_back_is_told_though_nothing_more_is_said() -> None:
    rig = Rig(seconds=0.05)
    for _ in range(5):
        rig.say(AT, "refused")
    deadline = threading.Event()
    for _ in range(200):
        if len(rig.lines) > 3:
            break
        deadline.wait(0.05)
    assert rig.messages[3:] == ["held back 2 lines like this one: refused"]


def test_a_clock_that_jumps_back_silences_nothing() -> None:
    rig = Rig()
    for _ in range(3):
        rig.say(AT, "refused")
    rig.say(AT - 3600, "refused")
    assert len(rig.lines) == 4


def test_many_templates_do_not_fill_the_memory() -> None:
    rig = Rig()
    for number in range(1500):
        rig.say(AT + number, f"{number}", line=number)
    assert len(rig.handler._windows) < 1100


@pytest.fixture
def levels() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", *OURS)]
    before = [(each, each.level) for each in loggers]
    yield
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, LimitedHandler)]:
        root.removeHandler(handler)
        handler.close()
    for each, level in before:
        each.setLevel(level)


def test_libraries_stay_quiet_at_debug_and_a_second_set_up_takes_the_place_of_the_first(
    levels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs(LoggingSettings(level="debug", format="json"), "agent")
    set_up_logs(LoggingSettings(level="debug", format="console"), "agent")
    logging.getLogger("botocore.endpoint").debug("a whole request")
    logging.getLogger("botocore.endpoint").warning("slow")
    logging.getLogger("opentrail_agent.ship").debug("trying")
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1] for line in said] == [
        "warning agent botocore.endpoint: slow", "debug agent ship: trying",
    ]  # fmt: skip
    set_up_logs(LoggingSettings(level="error"), "agent")
    logging.getLogger("opentrail_agent.ship").warning("not severe enough")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["", "plain", '{"time": "cut', '{"time": "2026"}'])
def test_a_line_that_is_no_object_of_ours_is_told_as_it_is(text: str) -> None:
    assert message_of(text) == text
