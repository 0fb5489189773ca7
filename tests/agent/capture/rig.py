"""A harvest under the hand of a test: turns, a spool in memory, crashes, time."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from opentrail.batch import RefusedItem, batch_events, batch_refused, batch_sources
from opentrail.record import RecordView, event_id_of
from opentrail_agent.capture.harvest import Harvest, Turn
from opentrail_agent.capture.settings import CaptureSettings, WatchSettings
from opentrail_agent.metrics import Metrics
from tests.fakes.clock import FakeClock


class PowerCut(BaseException):
    """No handler survives it."""


@dataclass(frozen=True)
class Event:
    id: str
    line: bytes


@dataclass
class Unpacked:
    events: list[Event]
    refused: list[RefusedItem]


def unpack(payload: bytes) -> Unpacked:
    """The events of a batch with the ids they will be known by, and its refusals."""
    derived: dict[int, str] = {}
    for run in batch_sources(payload):
        derived |= run.derived
    events = [
        Event(event_id_of(msgspec.json.decode(line, type=RecordView)) or derived[ordinal], line)
        for ordinal, line in enumerate(batch_events(payload).splitlines())
    ]
    return Unpacked(events, batch_refused(payload))


class Rig:
    """One agent's capture over real files, step by step."""

    def __init__(self, directory: Path, *watch: WatchSettings | str, **settings: object) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics(self.clock)
        self.settings = CaptureSettings(
            watch=[
                each if isinstance(each, WatchSettings) else WatchSettings(path=each)
                for each in watch
            ],
            **settings,  # type: ignore[arg-type]
        )
        self.directory = directory / "state"
        self.spool: list[bytes] = []
        self.cut_at = ""
        self.cut_after = 0
        self.start()

    def start(self) -> None:
        self.harvest = Harvest(
            self.settings, self.directory, self.clock, self.metrics, crash=self._crash
        )
        self.harvest.open()
        self._spooled: Turn | None = None

    def crash(self) -> None:
        """The process dies and starts again: nothing in memory survives, open files are closed."""
        self.harvest._census.close()
        self.start()

    def restart(self) -> None:
        """A stop with manners, and a start."""
        if self._spooled is not None:
            self.harvest.settle(self._spooled)
        self.harvest.close()
        self.start()

    def step(self) -> bool:
        """One turn, and its batch spooled; whether there was one."""
        spooled, self._spooled = self._spooled, None
        turn = self.harvest.turn(*([spooled] if spooled else []))
        if turn.draft is None:
            self.clock.advance(max(turn.wait_seconds, 0.001))
            return False
        self.spool.append(turn.draft.seal().payload)
        self._crash("agent.spooled")
        self._spooled = turn
        return True

    def settle(self, seconds: float = 1.2) -> None:
        """Let time pass until nothing has come for `seconds`."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            if self.step():
                until = self.clock.monotonic() + seconds

    @property
    def events(self) -> list[Event]:
        return [event for payload in self.spool for event in unpack(payload).events]

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    @property
    def numbers(self) -> list[int]:
        """The events by the number `events.record` gave them."""
        return [int(event.id[-12:]) for event in self.events]

    @property
    def refused(self) -> list[RefusedItem]:
        return [item for payload in self.spool for item in unpack(payload).refused]

    @property
    def lost_bytes(self) -> float:
        return self.metrics.value("opentrail_agent_lost_bytes_total")

    def _crash(self, point: str) -> None:
        if point == self.cut_at:
            self.cut_after -= 1
            if self.cut_after <= 0:
                self.cut_at = ""
                raise PowerCut(point)
