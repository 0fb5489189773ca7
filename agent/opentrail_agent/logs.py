"""Log lines: one per change of state, never the content of an event, never a flood.

`console` is for people, `json` for machines. The same line of code speaks at most ten times a
minute; what it said beyond that is counted in its next line.
"""

import json
import logging
import sys
import time
from typing import Literal

LINES_PER_MINUTE = 10
_WINDOW_SECONDS = 60.0

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class RateLimit(logging.Filter):
    """Lets each place in the code speak LINES_PER_MINUTE times a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._spoken: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.pathname, record.lineno)
        begun, count = self._spoken.get(place, (record.created, 0))
        if not 0 <= record.created - begun < _WINDOW_SECONDS:
            if count > LINES_PER_MINUTE:
                record.msg = f"{record.msg} ({count - LINES_PER_MINUTE} lines like this left out)"
            begun, count = record.created, 0
        self._spoken[place] = (begun, count + 1)
        return count < LINES_PER_MINUTE


class ConsoleFormatter(logging.Formatter):
    """2026-11-24T14:00:00Z warning ship.connection: text"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(level)s %(place)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = _utc

    def format(self, record: logging.LogRecord) -> str:
        record.level = record.levelname.lower()
        record.place = record.name.removeprefix("opentrail_agent.")
        return super().format(record).replace("\n", " | ")


class JsonFormatter(logging.Formatter):
    """One object a line."""

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")
        self.converter = _utc

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, self.datefmt),
            "level": record.levelname.lower(),
            "place": record.name.removeprefix("opentrail_agent."),
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_logs(level: LogLevel, form: LogFormat) -> None:
    """Send log lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _utc(seconds: float | None) -> time.struct_time:
    return time.gmtime(seconds)
