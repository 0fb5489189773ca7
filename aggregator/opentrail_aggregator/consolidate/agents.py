"""What the log says of each agent, folded frame by frame: the table behind manifests and status.

For each agent and epoch: through which batch everything was consolidated, and until when the agent
had reported. A heartbeat says that all the agent had read before `reported_at` is in batches up to
a sequence number; it counts once that batch is here, so a heartbeat that overtakes its batches
claims nothing too early.

The table at a log position is a function of the log up to there. `AgentsTable` is that function,
for whoever walks the log by itself (the archive does, so that its manifests say what was true at
their position). `AgentsView` reads the table that consolidate keeps on disk.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer

if TYPE_CHECKING:
    from opentrail_aggregator.home import Home
    from opentrail_aggregator.wal.log import LogEntry

STATE_NAME = "state.json"
FORMAT = 1
SOURCES_MAX = 2_000
GAPS_MAX = 1_000


class Epoch(msgspec.Struct, kw_only=True):
    """One numbering of batches: an agent has a new one with each new spool."""

    begins_at: int = 0
    """The first sequence number this log has seen; 1 unless something lies before it."""
    sequence: int = 0
    """Every batch from `begins_at` through this one was consolidated, but for `gaps`."""
    gaps: list[tuple[int, int]] = []
    """Ranges [first, last] of batches that are not in this log."""
    reported_until_ns: int = 0
    """Everything the agent had read before this time is consolidated; 0 if it never reported."""
    heartbeat_sequence: int = 0
    """The latest heartbeat, which may still wait for batches."""
    heartbeat_ns: int = 0
    last_position: int = 0
    last_at_ns: int = 0
    """When its last frame was appended to the log."""
    events: int = 0
    refused: int = 0
    sources: list[dict[str, Any]] = []
    """As the last heartbeat gave them: name, position, size, generation, kind, ended; only
    imports and those that were behind."""
    source_count: int = 0
    """All sources, also those that were not behind."""


class Agent(msgspec.Struct, kw_only=True):
    """An agent by the name in its certificate."""

    epochs: dict[str, Epoch] = {}
    retired: bool = False
    """`opentrail agents retire`: not waited for any more, until it sends again."""
    ended: bool = False
    """Its latest heartbeat says that all its sources have ended (an import that is done)."""


class AgentsTable(msgspec.Struct, kw_only=True):
    """All agents as of `position`, and the settings in force there."""

    format: int = FORMAT
    position: int = 0
    agents: dict[str, Agent] = {}
    settings: dict[str, Any] = {}
    """The body of the last `settings` frame."""

    def apply(self, entry: "LogEntry") -> dict[str, Any] | None:
        """Go on to `entry`, the next frame; the control object if it is one that can be read."""
        self.position = entry.position
        if entry.is_batch:
            self._batch(entry)
            return None
        try:
            control = entry.control()
        except msgspec.MsgspecError:
            return None
        kind = control.get("type")
        if kind == "settings":
            self.settings = control
        elif kind == "heartbeat":
            self._heartbeat(entry, control)
        elif kind == "agent-retired":
            self._agent(control).retired = True
        elif kind == "import-ended":
            self._import_ended(control)
        return control

    def skip(self, position: int) -> None:
        """Go on to `position`; what lies between cannot be read."""
        self.position = position

    def _agent(self, control: dict[str, Any]) -> Agent:
        return self.agents.setdefault(str(control.get("agent", "")), Agent())

    def _batch(self, entry: "LogEntry") -> None:
        agent = self.agents.setdefault(entry.agent, Agent())
        agent.retired = agent.ended = False
        epoch = agent.epochs.setdefault(entry.epoch, Epoch())
        if not epoch.begins_at:
            epoch.begins_at = entry.sequence
        elif entry.sequence > epoch.sequence + 1 and len(epoch.gaps) < GAPS_MAX:
            epoch.gaps.append((epoch.sequence + 1, entry.sequence - 1))
        epoch.sequence = max(epoch.sequence, entry.sequence)
        epoch.events += entry.events
        epoch.refused += entry.refused
        self._touch(epoch, entry)

    def _heartbeat(self, entry: "LogEntry", control: dict[str, Any]) -> None:
        agent = self._agent(control)
        epoch = agent.epochs.setdefault(str(control.get("epoch", "")), Epoch())
        epoch.heartbeat_sequence = _integer(control.get("sequence"))
        epoch.heartbeat_ns = _integer(control.get("reported_at_ns"))
        sources = control.get("sources")
        if isinstance(sources, list):
            epoch.sources = [each for each in sources if isinstance(each, dict)][:SOURCES_MAX]
        epoch.source_count = _integer(control.get("source_count", len(epoch.sources)))
        agent.ended = _all_ended(epoch)
        agent.retired = False
        self._touch(epoch, entry)

    def _import_ended(self, control: dict[str, Any]) -> None:
        agent = self._agent(control)
        epoch = agent.epochs.setdefault(str(control.get("epoch", "")), Epoch())
        for each in epoch.sources:
            if each.get("name") == control.get("source"):
                each["ended"] = True
        agent.ended = _all_ended(epoch)

    @staticmethod
    def _touch(epoch: Epoch, entry: "LogEntry") -> None:
        epoch.last_position = entry.position
        epoch.last_at_ns = entry.appended_at_ns
        if epoch.sequence >= epoch.heartbeat_sequence:
            epoch.reported_until_ns = max(epoch.reported_until_ns, epoch.heartbeat_ns)


def encode_table(table: AgentsTable) -> bytes:
    """The table as it is kept on disk."""
    return msgspec.json.encode(table)


def decode_table(data: bytes, path: Path) -> AgentsTable:
    """The table that `encode_table` made; msgspec.MsgspecError if it is none, NewerFormatError."""
    refuse_newer(path, data, FORMAT)
    return msgspec.json.decode(data, type=AgentsTable)


class AgentsView:
    """The table that consolidate keeps, a second old at most; from any process."""

    def __init__(self, home: "Home", files: Files = DISK) -> None:
        self._path = home.verdicts / STATE_NAME
        self._files = files

    def read(self) -> AgentsTable:
        """The table, an empty one if consolidate has not begun."""
        if not self._files.exists(self._path):
            return AgentsTable()
        content = self._files.read(self._path, 0, self._files.size(self._path))
        return decode_table(content, self._path)


def _all_ended(epoch: Epoch) -> bool:
    everything_is_known = 0 < epoch.source_count == len(epoch.sources)
    return everything_is_known and all(each.get("ended") for each in epoch.sources)


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0
