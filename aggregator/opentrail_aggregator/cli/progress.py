"""How far things are, for the screen of `opentrail up`: one thread asks, another shows.

The figures are those of `opentrail status`, not counters of this process: what is shown as
searchable was counted in the index.
"""

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.cli.client import Server

EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One look."""

    answered: bool = False
    ready: bool = False
    received: int = 0
    searchable: int = 0
    archived: int = 0
    waiting_index: int = 0
    waiting_archive: int = 0
    quarantined: int = 0
    duplicates: int = 0
    lag_seconds: float | None = None
    wrong: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())


class ProgressReader:
    """Keeps the latest `Figures`; the thread ends with the process."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._latest = Figures()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def latest(self) -> Figures:
        """What was seen last."""
        return self._latest

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            self._latest = self._look()

    def _look(self) -> Figures:
        with contextlib.suppress(OpenTrailError):
            return figures_of(self._server.get("/api/status", {"cached": "1"}))
        return Figures()


def figures_of(status: dict[str, Any]) -> Figures:
    """What the screen shows of a status."""
    pending = status["pending"]
    return Figures(
        answered=True,
        ready=bool(status.get("ready")),
        received=int(status["received"]),
        searchable=max(status["indexed"].values(), default=0),
        archived=sum(status["archived"].values()),
        waiting_index=int(pending.get("index", 0)),
        waiting_archive=int(pending.get("archive", 0)),
        quarantined=int(status["quarantined"]),
        duplicates=int(status["duplicates"]),
        lag_seconds=status.get("lag_seconds"),
        wrong=tuple(status.get("wrong", ())),
        problems=tuple(f"{each['role']}: {each['text']}" for each in status.get("problems", ())),
    )
