"""`opentrail-aggregator rebuild`: the steps in order.

    1. mark          HOME/rebuilding.json: from here on `run` refuses, and only a rebuild goes on
    2. set aside     what is left of stores that belong to the lost log (nothing is deleted)
    3. id sets       every record of the archive is read once
    4. digests       the chains go on behind the newest digest in the bucket
    5. stores        verdicts, staging, cursors, the log
    6. unmark

Interrupted anywhere it is given again and begins anew: what an interrupted one made is removed, for
it came from the archive. What the log was that is gone, how far each agent is in the archive and
from which time on something may be missing is kept in HOME/log/lineage.json.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.errors import OpenTrailError
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.keys import time_text
from opentrail_aggregator.archive.ledger import read_ledger
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.consolidate.ids.idsets import IdSets
from opentrail_aggregator.consolidate.refusals import remember_items
from opentrail_aggregator.home import Home
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.rebuild.digests import note_undigested, restore_chains
from opentrail_aggregator.rebuild.fresh_home import (
    first_position_behind,
    new_log_id,
    write_stores,
)
from opentrail_aggregator.rebuild.identities import add_identities
from opentrail_aggregator.rebuild.remains import MARK, holds_a_log
from opentrail_aggregator.rebuild.survey import Survey, look
from opentrail_aggregator.wal.lineage import Lineage

_OF_THE_LOG = ("log", "verdicts", "ids", "staging", "index")
"""Folders that mean nothing without the log they belong to."""
_SECOND = 1_000_000_000


class RebuildError(OpenTrailError):
    """There is nothing to rebuild, or nothing to rebuild it from."""


class _Mark(msgspec.Struct, kw_only=True):
    """What an interrupted rebuild has to know when it is begun again."""

    format: int = 1
    aside: str = ""
    """Where remains of the lost log were moved to."""
    is_aside: bool = False
    """They were, if there were any: what lies in their place now was made from the archive."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    lineage: Lineage
    objects: int = 0
    events: int = 0
    doubled: int = 0
    """Events that the archive counts more than once; one of each is known as the first."""
    aside: str = ""
    """Where remains of the lost log lie now; empty if there were none."""
    orphans: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    stage: str
    done: int
    total: int = 0


def rebuild(
    home: Home,
    settings: ArchiveSettings,
    destination: Destination,
    clock: Clock,
    *,
    log_id: str = "",
    files: Files = DISK,
) -> Iterator[Progress | Outcome]:
    """Do all of it, a little between two values; the last one is the outcome."""
    mark = home.path / MARK
    if not files.exists(mark) and holds_a_log(home, files):
        raise RebuildError(
            f"{home.log}: there is a log here, and it may hold what no archive has: nothing was "
            "changed; if it cannot be used any more, move the folder away and give this again"
        )
    began_at_ns = clock.now_ns()
    removed_before_ns = _removed_before(home, settings, destination, began_at_ns, files)
    catalog = Catalog(destination, settings.prefix)
    counted = [0]
    survey = look(
        catalog, log_id=log_id, removed_before_ns=removed_before_ns,
        progress=lambda number: counted.__setitem__(0, number),
    )  # fmt: skip
    if survey is None:
        raise RebuildError(
            f"{destination.bucket}: no manifest lies under {catalog.root}: there is nothing to "
            "rebuild from; a new home begins by itself with `opentrail-aggregator run`"
        )
    yield Progress("survey", counted[0], counted[0])
    aside = _make_room(home, began_at_ns, files)
    outcome = Outcome(
        _lineage(survey, began_at_ns, removed_before_ns), aside=aside,
        orphans=survey.orphans, gaps=survey.gaps,
    )  # fmt: skip
    yield from _ids(home, catalog, survey, outcome, files)
    crash_point("rebuild.identities")
    for number, _ in enumerate(
        restore_chains(home, destination, catalog.root, survey.chains, files), 1
    ):
        yield Progress("digests", number)
    note_undigested(home, catalog, survey.manifests, files)
    quarantined = Quarantine(home).count_through(outcome.lineage.first_position - 1)
    write_stores(home, outcome.lineage, survey.chains, quarantined, files)
    crash_point("rebuild.stores")
    files.unlink(mark)
    yield outcome


def _lineage(survey: Survey, began_at_ns: int, removed_before_ns: int) -> Lineage:
    return Lineage(
        log_id=new_log_id(),
        follows=survey.logs,
        first_position=first_position_behind(survey.last_position),
        began_at_ns=began_at_ns,
        kept=survey.kept,
        archived_until_ns=survey.archived_until_ns,
        removed_before_ns=removed_before_ns,
        agents=survey.agents,
    )


def _removed_before(
    home: Home, settings: ArchiveSettings, destination: Destination, now_ns: int, files: Files
) -> int:
    """What archive.retention removed, or will remove as soon as it runs, is not brought back."""
    before_ns = read_ledger(home, destination.bucket, files).before_ns
    if settings.retention_seconds is not None:
        before_ns = max(before_ns, now_ns - int(settings.retention_seconds * _SECOND))
    return before_ns


def _ids(
    home: Home, catalog: Catalog, survey: Survey, outcome: Outcome, files: Files
) -> Iterator[Progress]:
    ids = IdSets(home.ids, files)
    try:
        # The own history first: where another one holds the same event, ours is the first.
        for events in add_identities(catalog, survey.manifests, ids):
            outcome.objects += 1
            outcome.events += events
            yield Progress("identities", outcome.events, survey.kept)
        outcome.doubled = max(0, survey.kept - len(ids))
        for _ in add_identities(catalog, survey.others, ids):
            yield Progress("identities", outcome.events, survey.kept)
        # A quarantine that came back from a backup: agents may send what lies in it once more.
        remember_items(ids, Quarantine(home).keys())
        ids.spill(outcome.lineage.first_position - 1)
    finally:
        ids.close()


def _make_room(home: Home, now_ns: int, files: Files) -> str:
    """Mark the home, and have nothing of a log in it; where the remains of the lost one are."""
    path = home.path / MARK
    mark = _Mark()
    if files.exists(path):
        mark = msgspec.json.decode(files.read(path, 0, files.size(path)), type=_Mark)
    else:
        files.make_directory(home.path)
        files.replace(path, msgspec.json.encode(mark))
    crash_point("rebuild.marked")
    if mark.is_aside:
        _remove(home)
        return mark.aside
    mark = _Mark(aside=_set_aside(home, now_ns, files), is_aside=True)
    files.replace(path, msgspec.json.encode(mark))
    return mark.aside


def _set_aside(home: Home, now_ns: int, files: Files) -> str:
    """Move what belongs to the lost log out of the way."""
    stamp = time_text(now_ns // _SECOND).replace("-", "").replace(":", "")
    aside = home.path / f"before-rebuild-{stamp}"
    moved = False
    for name in _OF_THE_LOG:
        path = home.path / name
        if path.is_dir() and any(path.iterdir()):
            files.make_directory(aside)
            files.rename(path, aside / name)
            moved = True
    return str(aside) if moved else ""


def _remove(home: Home) -> None:
    """What an interrupted rebuild made from the archive."""
    for name in _OF_THE_LOG:
        path = home.path / name
        if path.is_dir():
            shutil.rmtree(path)
