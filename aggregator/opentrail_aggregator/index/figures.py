"""What the index says of itself, counted in its own files and nowhere else.

`indexed` is the number of documents the engine has, day by day. Events that were committed after
the state was last written are left out by their position, so that figures at any moment are those
of one log position: `indexed + expired + missing` is what the verdicts had kept through there.
"""

from dataclasses import dataclass

from opentrail_aggregator.index.compile import between, number_of_hits
from opentrail_aggregator.index.generation import State
from opentrail_aggregator.index.reading import OpenDays, View
from opentrail_aggregator.search.errors import SearchUnavailableError

_ATTEMPTS = 20
_ORDINALS = 0xFFFF


@dataclass(frozen=True, slots=True)
class Figures:
    """The index at one log position."""

    generation: str
    log_id: str
    position: int
    """Everything through here is in one of the next figures."""
    kept_total: int
    """What the verdicts had kept through `position`."""
    days: dict[str, int]
    """Documents by event day, those of earlier logs left out."""
    indexed: int
    expired: int
    missing: int
    """Kept once and not to be brought back by a rebuild."""
    restored: int
    """Documents that came through an earlier log, by way of the archive."""
    unreadable: int = 0
    """Documents whose record cannot be read; counted by `recount` only."""


def figures(days: OpenDays) -> Figures:
    """Count the documents of every day."""
    return _figures(days, is_thorough=False)


def recount(days: OpenDays) -> Figures:
    """The same, reading every record that a document points at."""
    return _figures(days, is_thorough=True)


def _figures(days: OpenDays, *, is_thorough: bool) -> Figures:
    for _ in range(_ATTEMPTS):
        view = days.view()
        found = _counted(days, view, is_thorough=is_thorough)
        after = days.view()
        # A day dropped meanwhile is in both or in neither of the figures: count again.
        if (after.generation.name, after.state.expired) == (
            view.generation.name,
            view.state.expired,
        ):
            return found
    raise SearchUnavailableError(
        f"index {view.generation.name}: its days changed {_ATTEMPTS} times while they were "
        "counted; ask again"
    )


def _counted(days: OpenDays, view: View, *, is_thorough: bool) -> Figures:
    state: State = view.state
    through = state.position << 16 | _ORDINALS
    counts: dict[str, int] = {}
    restored = unreadable = 0
    for name in reversed(view.days):
        day = days.day(view, name)
        if day is None:
            continue
        searcher = day.searcher()
        # Those that are set apart are few or none, and finding a few costs a tenth of finding all.
        later = number_of_hits(searcher, between("p", through + 1, None))
        earlier = day.restored_documents(searcher, is_thorough=is_thorough)
        counts[name] = searcher.num_docs - later - earlier
        restored += earlier
        if is_thorough:
            unreadable += day.unreadable_records()
    return Figures(
        view.generation.name, state.log_id, state.position, state.kept_total, counts,
        sum(counts.values()), state.expired, state.missing, restored, unreadable,
    )  # fmt: skip
