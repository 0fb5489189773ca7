"""Log lines of both roles: one per change of state, never the content of an event, never a flood.

`console` is for people, `json` for machines: one object a line with time, level, role, logger,
message and whatever ids the line is about. A place in the code writes the same template at most ten
times a minute; then one line says how many it held back, and a counter counts them.

Only our own loggers go below warning: what a library says at `debug` may hold requests whole.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, TextIO

LINES_PER_MINUTE = 10
WINDOW_SECONDS = 60.0
LINE_MAX_BYTES = 4000
"""A supervisor cuts what its children write into lines of 4096 bytes; an object must stay whole."""
PLACES_MAX = 1000
"""How many templates are watched; beyond that the windows that are over are forgotten."""
OURS = ("opentrail", "opentrail_agent", "opentrail_aggregator")

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Ids = Mapping[str, str | int]
OnHeld = Callable[[str], None]
"""Told the logger of every line that is held back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSettings:
    """What a role says on standard error."""

    level: Annotated[LogLevel, "The least severe lines that are written."] = "info"
    format: Annotated[LogFormat, "console for people, json for machines."] = "console"


def ids(**known: str | int) -> dict[str, dict[str, str | int]]:
    """What a line is about, for `extra=`: agent, epoch, sequence, request_id, event_id…"""
    return {"ids": known}


def json_line(
    at: float, level: str, role: str, logger: str, message: str, about: Ids, traceback: str = ""
) -> str:
    """One line for a machine, cut where it would be too long: a message's end, a traceback's begin.

    `at` is in seconds since 1970.
    """
    room = LINE_MAX_BYTES
    while True:
        line: dict[str, str | int] = {
            "time": _moment(at, "milliseconds"), "level": level, "role": role, "logger": logger,
            "message": message, **about,
        }  # fmt: skip
        if traceback:
            line["traceback"] = traceback
        text = json.dumps(line)
        if len(text) <= LINE_MAX_BYTES:
            return text
        room //= 2
        if not room:
            return json.dumps({**line, "message": "", "traceback": ""})[:LINE_MAX_BYTES]
        message, traceback = message[:room], traceback[-room:]


def is_json_line(text: str) -> bool:
    """Whether a line was made by `json_line`, told by its first bytes."""
    return text.startswith('{"time": "')


def message_of(text: str) -> str:
    """What a line says, for a person: the message of one made by `json_line`, else all of it."""
    if is_json_line(text):
        try:
            return str(json.loads(text)["message"])
        except (ValueError, KeyError):
            return text  # Cut, or only alike.
    return text


class LineFormatter(logging.Formatter):
    """Makes lines of one role, in one of the two formats."""

    def __init__(self, role: str, form: LogFormat, about: Ids) -> None:
        super().__init__()
        self._role = role
        self._form = form
        self._about = about

    def format(self, record: logging.LogRecord) -> str:
        level, message = record.levelname.lower(), record.getMessage()
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        if self._form == "json":
            about = {**self._about, **getattr(record, "ids", {})}
            return json_line(
                record.created, level, self._role, record.name, message, about, traceback
            )
        place = record.name
        for ours in OURS:
            place = place.removeprefix(ours + ".")
        at = _moment(record.created, "seconds")
        said = "\n".join(filter(None, (message, traceback)))
        return f"{at} {level} {self._role} {place}: {said}".replace("\n", " | ")


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes lines, and of each template no more than `limit` in `seconds`."""

    def __init__(
        self,
        out: TextIO,
        on_held: OnHeld | None = None,
        limit: int = LINES_PER_MINUTE,
        seconds: float = WINDOW_SECONDS,
    ) -> None:
        super().__init__(out)
        self._on_held = on_held
        self._limit = limit
        self._seconds = seconds
        self._windows: dict[tuple[str, int, str], _Window] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line or hold it back. The caller holds the handler's lock."""
        key = (record.pathname, record.lineno, str(record.msg))
        window = self._windows.get(key)
        if window is not None and not 0 <= record.created - window.begun < self._seconds:
            self._tell(window)
            window = None
        if window is None:
            if len(self._windows) >= PLACES_MAX:
                self._forget(record.created)
            window = self._windows[key] = _Window(record.created, record)
        window.count += 1
        if window.count <= self._limit:
            super().emit(record)
            return
        if self._on_held is not None:
            self._on_held(record.name)
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._look)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Say what was held back until now, and write no more."""
        with self._guard():
            if self._timer is not None:
                self._timer.cancel()
            for window in self._windows.values():
                self._tell(window)
            self._windows.clear()
        super().close()

    def _look(self) -> None:
        # A whole span after the first line was held back: every window of then is over.
        with self._guard():
            self._timer = None
            for key, window in list(self._windows.items()):
                if window.count > self._limit:
                    del self._windows[key]
                    self._tell(window)

    def _forget(self, now: float) -> None:
        for key, window in list(self._windows.items()):
            if not 0 <= now - window.begun < self._seconds:
                del self._windows[key]
                self._tell(window)

    def _tell(self, window: "_Window") -> None:
        held = window.count - self._limit
        if held > 0:
            first = window.first
            text = "held back %d lines like this one: %s"
            super().emit(
                logging.LogRecord(
                    first.name, first.levelno, __file__, 0, text, (held, first.msg), None
                )
            )

    def _guard(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock


@dataclass(slots=True)
class _Window:
    begun: float
    first: logging.LogRecord
    count: int = 0


def set_up_logs(
    settings: LoggingSettings, role: str, about: Ids | None = None, on_held: OnHeld | None = None
) -> None:
    """Send log lines of this process to standard error; may be called again with other settings."""
    handler = LimitedHandler(sys.stderr, on_held)
    handler.setFormatter(LineFormatter(role, settings.format, about or {}))
    root = logging.getLogger()
    for each in list(root.handlers):
        if isinstance(each, LimitedHandler):
            root.removeHandler(each)
            each.close()
    root.addHandler(handler)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    root.setLevel(max(level, logging.WARNING))
    for ours in OURS:
        logging.getLogger(ours).setLevel(level)


def _moment(seconds: float, spec: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=spec).replace("+00:00", "Z")
