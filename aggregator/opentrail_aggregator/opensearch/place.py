"""How far OpenSearch has got in the log: the cursor `opensearch` and the ledger in it.

    HOME/log/cursors/opensearch     position, and what cannot be counted on the server:
                                    kept, expired, missing, earlier, dropping

Position and ledger are one write, so they are always those of one moment. What the server can count
(documents by day) and what lies in the file of held events is not written here.
"""

from dataclasses import dataclass, replace
from typing import Any

from opentrail_aggregator.wal.cursors import Cursors

NAME = "opensearch"


@dataclass(frozen=True, slots=True)
class Place:
    """What is accounted for through `position`."""

    position: int = 0
    kept: int = 0
    """Events that the verdicts had kept through there."""
    expired: int = 0
    """Older than the retention: never sent, or dropped with their day."""
    missing: int = 0
    """Neither in the log nor in the archive any more when they were wanted."""
    earlier: int = 0
    """There already by way of another log."""
    dropping: tuple[str, ...] = ()
    """Days that are counted as expired; their indices are removed next."""

    def further(self, position: int, kept: int, *, expired: int = 0, missing: int = 0) -> "Place":
        return replace(
            self, position=position, kept=kept,
            expired=self.expired + expired, missing=self.missing + missing,
        )  # fmt: skip


def read_place(cursors: Cursors) -> Place:
    """The place last committed, the beginning if there is none."""
    position, state = cursors.read(NAME)
    return Place(
        position, state.get("kept", 0), state.get("expired", 0), state.get("missing", 0),
        state.get("earlier", 0), tuple(state.get("dropping", ())),
    )  # fmt: skip


def commit_place(cursors: Cursors, place: Place, *, can_catch_up: bool) -> None:
    """Make `place` durable, and tell the log what it may release."""
    state: dict[str, Any] = {
        "kept": place.kept, "expired": place.expired, "missing": place.missing,
        "earlier": place.earlier, "dropping": list(place.dropping), "can_catch_up": can_catch_up,
    }  # fmt: skip
    cursors.commit(NAME, place.position, state)
