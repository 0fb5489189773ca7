"""The trails as the API knows and changes them; each change is a control frame in the log.

    HOME/trails/trails.json     {"format": 1, "log_id", "number", "trails": [...],
                                 "pending": {...} | null}      replaced atomically

A change is written here as pending, then into the log, then here as done. If it is not known
whether the log has it, it stays pending and is written again before anything else happens: its
number says that it is the same one. So trails and log agree, whatever dies in between.

One process owns the file, the one that answers the API. Back it up with the log.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.errors import DamagedError, OpenTrailError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.trails.trail import TRAIL_FRAME, TrailSpec

FORMAT = 1


class _Change(msgspec.Struct, kw_only=True):
    number: int
    arn: str
    trail: TrailSpec | None


class _Content(msgspec.Struct, kw_only=True):
    format: int = FORMAT
    log_id: str = ""
    number: int = 0
    trails: list[TrailSpec] = []
    pending: _Change | None = None


class Append(Protocol):
    """Puts a control frame into the log; durable when it returns."""

    def __call__(self, kind: str, body: dict[str, Any]) -> int: ...


Trails = dict[str, TrailSpec]
Decide = Callable[[Trails], "tuple[str, TrailSpec | None] | None"]
"""What to make of the trails there are: one to put, or (None) to remove, or nothing to do. It may
raise to refuse."""


class TrailBook:
    """See above. `default` is the trail of the configuration file: it is there without a frame.

    `is_refused` tells of an error of `append` after which nothing was written.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        append: Append,
        *,
        log_id: Callable[[], str],
        default: TrailSpec,
        is_refused: Callable[[Exception], bool] = lambda _: False,
        files: Files = DISK,
    ) -> None:
        self._path = directory / "trails.json"
        self._clock = clock
        self._append = append
        self._log_id = log_id
        self._default = default
        self._is_refused = is_refused
        self._files = files
        self._lock = threading.Lock()
        self._content: _Content | None = None

    def all(self) -> Trails:
        """By ARN, `default` first, then in order of their making; never waits for the log."""
        with self._lock:
            return self._trails()

    def change(self, decide: Decide) -> TrailSpec | None:
        """Decide on the trails there are and make it so; durable in the log when it returns.

        Raises what `decide` raises, or the error of `append`: then nothing is promised, but the
        change may come about once the log can be written again.
        """
        with self._lock:
            self._settle()
            wanted = decide(self._trails())
            if wanted is None:
                return None
            self._put(*wanted)
            return wanted[1]

    def settle(self) -> None:
        """Write into the log what it does not have yet: a change in doubt, or all trails if it is
        another log."""
        with self._lock:
            self._settle()

    def _trails(self) -> Trails:
        found = {each.arn: each for each in self._read().trails}
        default = found.pop(self._default.arn, None)
        if default is None:
            default = self._default
        else:  # Its place is the configuration's, whatever it was when the frame was written.
            default = msgspec.structs.replace(
                default, prefix=self._default.prefix, bucket=self._default.bucket
            )
        return {default.arn: default, **found}

    def _settle(self) -> None:
        content = self._read()
        if content.pending is not None:
            self._finish(content.pending)
        log_id = self._log_id()
        if log_id and content.log_id != log_id:
            if content.log_id:
                for each in list(content.trails):
                    self._put(each.arn, each)
            content.log_id = log_id
            self._write()

    def _put(self, arn: str, trail: TrailSpec | None) -> None:
        content = self._read()
        # Higher than any before, also if this file was lost.
        number = max(content.number + 1, self._clock.now_ns())
        content.pending = _Change(number=number, arn=arn, trail=trail)
        content.number = number
        content.log_id = content.log_id or self._log_id()
        self._write()
        crash_point("trails.pending")
        self._finish(content.pending)

    def _finish(self, change: _Change) -> None:
        content = self._read()
        body = {
            "arn": change.arn,
            "number": change.number,
            "trail": None if change.trail is None else msgspec.to_builtins(change.trail),
        }
        try:
            self._append(TRAIL_FRAME, body)
        except OpenTrailError as error:
            if self._is_refused(error):
                content.pending = None
                self._write()
            raise
        crash_point("trails.appended")
        places = {each.arn: place for place, each in enumerate(content.trails)}
        if change.trail is None:
            content.trails = [each for each in content.trails if each.arn != change.arn]
        elif change.arn in places:
            content.trails[places[change.arn]] = change.trail
        else:
            content.trails.append(change.trail)
        content.pending = None
        self._write()

    def _read(self) -> _Content:
        if self._content is None:
            if not self._files.exists(self._path):
                self._content = _Content()
                return self._content
            data = self._files.read(self._path, 0, self._files.size(self._path))
            refuse_newer(self._path, data, FORMAT)
            try:
                self._content = msgspec.json.decode(data, type=_Content)
            except msgspec.MsgspecError as error:
                raise DamagedError(
                    f"{self._path}: cannot be read ({error}); bring it back from a backup: the log "
                    "goes on with the trails that it knows"
                ) from error
        return self._content

    def _write(self) -> None:
        self._files.make_directory(self._path.parent)
        self._files.replace(self._path, msgspec.json.encode(self._read()))
