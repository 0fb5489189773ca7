"""Which logs this one follows: HOME/log/lineage.json, written once by a rebuild, never changed.

    {"format": 1, "log_id": …, "follows": [newest, …], "first_position": …, "kept": …, …}

A log that was begun anew over an archive names the logs whose events the archive holds. Its
positions begin behind all of theirs, so a position means one frame among all of them; agents that
hold batches for one of them may send them here. A home that lost no log has no such file.
"""

from pathlib import Path

import msgspec

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer

NAME = "lineage.json"
FORMAT = 1


class KnownAgent(msgspec.Struct, kw_only=True, frozen=True):
    """How far one numbering of an agent is in the archive."""

    agent: str
    epoch: str
    archived_through: int
    """Every event of its batches through this number is archived; 0 if that is not known."""
    consolidated_through: int
    """The last number that the archive has heard of."""


class Lineage(msgspec.Struct, kw_only=True, frozen=True):
    """See above; as it is here, a log that follows none."""

    format: int = FORMAT
    log_id: str = ""
    follows: list[str] = []
    """The logs before this one, the newest first."""
    first_position: int = 1
    began_at_ns: int = 0
    kept: int = 0
    """Events that the archive held then; they count as received and kept before the first frame."""
    archived_until_ns: int = 0
    """What came in through this time is archived; what came later may be missing. 0: unknown."""
    removed_before_ns: int = 0
    """Objects delivered before were removed, or about to be, and are not counted anywhere."""
    agents: list[KnownAgent] = []

    @property
    def log_ids(self) -> frozenset[str]:
        """This log and those before it."""
        return frozenset((self.log_id, *self.follows)) - {""}

    def archived_through(self, agent: str, epoch: str) -> int | None:
        """The last archived number of a numbering; None if the archive never heard of it."""
        for each in self.agents:
            if (each.agent, each.epoch) == (agent, epoch):
                return each.archived_through
        return None


def read_lineage(log_directory: Path, log_id: str = "", files: Files = DISK) -> Lineage:
    """The lineage of the log in a directory; one that follows none if nothing is written there."""
    path = log_directory / NAME
    if not files.exists(path):
        return Lineage(log_id=log_id)
    content = files.read(path, 0, files.size(path))
    refuse_newer(path, content, FORMAT)
    try:
        lineage = msgspec.json.decode(content, type=Lineage)
    except msgspec.MsgspecError as error:
        raise DamagedError(
            f"{path}: cannot be read ({error}); restore it from a backup, or move the log away and "
            "rebuild it: agents and archive need to know which logs came before"
        ) from error
    if log_id and lineage.log_id != log_id:
        raise DamagedError(
            f"{path}: speaks of log {lineage.log_id}, the log here is {log_id}: move the file away"
        )
    return lineage


def write_lineage(log_directory: Path, lineage: Lineage, files: Files = DISK) -> None:
    """Make it durable."""
    files.make_directory(log_directory)
    files.replace(log_directory / NAME, msgspec.json.encode(lineage))
