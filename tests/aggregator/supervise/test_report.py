"""What a supervisor writes: its own lines and its children's, in the format that is set."""

import json
from typing import Any

from opentrail.clock import SystemClock
from opentrail.logs import LoggingSettings, LogLevel, json_line
from opentrail_aggregator.supervise.child import Ended
from opentrail_aggregator.supervise.report import Report


def report(level: LogLevel = "info") -> tuple[Report, list[str]]:
    lines: list[str] = []
    settings = LoggingSettings(level=level, format="json")
    return Report(SystemClock(), out=lines.append, logging=settings), lines


def told(lines: list[str]) -> list[Any]:
    found = [json.loads(line) for line in lines]
    return [(each["level"], each["role"], each["logger"], each["message"]) for each in found]


def test_in_json_every_line_is_an_object_also_what_a_child_prints_past_its_log() -> None:
    its, lines = report()
    child = json_line(1.5, "info", "ingest", "opentrail_aggregator.ingest", "open", {})
    its.say("begins")
    its.line("ingest", child)
    its.line("ingest", "Traceback (most recent call last):")
    its.ended(Ended("ingest", -9, 1.0, "open"), 0.5)
    assert lines[1] == child
    where = "opentrail_aggregator.supervise.report"
    assert told(lines) == [
        ("info", "supervisor", where, "begins"),
        ("info", "ingest", "opentrail_aggregator.ingest", "open"),
        ("error", "ingest", "output", "Traceback (most recent call last):"),
        ("error", "supervisor", where, "ingest ended after 1.0 s (killed by SIGKILL); it said "
         "last: open; starting again in 0.5 s"),
    ]  # fmt: skip


def test_a_level_hides_what_is_less_severe_and_no_end_of_a_process() -> None:
    its, lines = report("error")
    its.say("begins")
    its.ended(Ended("ingest", 1, 1.0, ""), 0.0)
    assert [level for level, *_ in told(lines)] == ["error"]


def test_on_a_console_a_line_without_a_time_gets_time_and_name_once() -> None:
    lines: list[str] = []
    its = Report(SystemClock(), out=lines.append)
    its.line("index", "panic")
    its.line("index", "2026-11-24T14:00:00Z info index indexer: done")
    assert lines[0].endswith("Z index: panic")
    assert lines[1] == "2026-11-24T14:00:00Z info index indexer: done"
