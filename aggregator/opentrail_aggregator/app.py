"""The map of the aggregator: its roles in the order of an event's way, and how each is built.

    agents ══► ingest → log → consolidate → verdicts ─┬─→ index ⎮ opensearch ─┐
                                                      └─→ archive ────────────┴─→ api ◄── people

Each role is built in its own process and only there, so that a process loads what it needs and
nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from opentrail.clock import Clock
from opentrail.errors import UsageError
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.supervise.runner import ServingRole, SteppingRole

if TYPE_CHECKING:
    from opentrail_aggregator.api.arrivals import Arrivals
    from opentrail_aggregator.search.engine import Engine


@dataclass(frozen=True, slots=True)
class Parts:
    """What every role is built from."""

    settings: AggregatorSettings
    clock: Clock
    metrics: Metrics


def _ingest(parts: Parts) -> ServingRole:
    from opentrail_aggregator.ingest.server import IngestServer

    return IngestServer(parts.settings.place, parts.settings, parts.clock, parts.metrics)


def _consolidate(parts: Parts) -> SteppingRole:
    from opentrail_aggregator.archive_source import FirstInArchive
    from opentrail_aggregator.consolidate.consolidator import Consolidator
    from opentrail_aggregator.ingest.control import ControlClient

    client = ControlClient(parts.settings.place)

    return Consolidator(
        parts.settings.place,
        parts.settings,
        parts.clock,
        parts.metrics,
        archive_lookup=FirstInArchive(parts.settings),
        submit=partial(client.submit, deadline_seconds=2.0),
    )


def _index(parts: Parts) -> SteppingRole:
    from opentrail_aggregator.archive_source import ArchivedEvents
    from opentrail_aggregator.index.indexer import Indexer

    return Indexer(
        parts.settings.place,
        parts.settings,
        parts.clock,
        parts.metrics,
        archive=ArchivedEvents(parts.settings),
    )


def _opensearch(parts: Parts) -> SteppingRole:
    from opentrail_aggregator.archive_source import ArchivedEvents
    from opentrail_aggregator.opensearch.indexer import OpenSearchIndexer

    return OpenSearchIndexer(
        parts.settings.place,
        parts.settings,
        parts.clock,
        parts.metrics,
        archive=ArchivedEvents(parts.settings),
    )


def _archive(parts: Parts) -> SteppingRole:
    from opentrail_aggregator.archive.archiver import Archiver
    from opentrail_aggregator.archive_source import destination_of
    from opentrail_aggregator.consolidate.verdict import VerdictReader
    from opentrail_aggregator.digest.digester import Digester
    from opentrail_aggregator.digest.inbox import Inbox
    from opentrail_aggregator.digest.keys import FileKeys
    from opentrail_aggregator.digest.requests import request_end
    from opentrail_aggregator.digest.role import ArchiveWithDigests, beginnings_of
    from opentrail_aggregator.ingest.control import ControlClient
    from opentrail_aggregator.wal.disk_reader import open_reader

    settings, home = parts.settings, parts.settings.place
    destination = destination_of(settings)
    inbox = Inbox(home.digest / "inbox")
    log = open_reader(home)
    archiver = Archiver(
        home,
        settings.archive,
        parts.clock,
        parts.metrics,
        log=log,
        verdicts=VerdictReader(home),
        append_control=ControlClient(home).append,
        destination=destination,
        log_max_bytes=settings.log.max_bytes,
        account=settings.install.account,
        home_region=settings.install.home_region,
        on_delivered=inbox.take_note,
        on_stopped=lambda trail, at_ns: request_end(home, trail, at_ns),
        indexes=settings.indexes,
        held_bytes=log.backlog_bytes,
    )
    digester = Digester(
        home,
        settings.digest,
        parts.clock,
        parts.metrics,
        keys=FileKeys(home.keys / "digest"),
        inbox=inbox,
        destination_of=lambda _: destination,
        delivered_through=archiver.delivered_through_ns,
        cut_open=archiver.cut_open,
        beginnings=lambda: beginnings_of(archiver),
    )
    return ArchiveWithDigests(archiver, digester)


def _api(parts: Parts) -> ServingRole:
    from opentrail_aggregator.api.server import ApiServer
    from opentrail_aggregator.archive_source import destination_of
    from opentrail_aggregator.status.stores import open_stores

    settings, home = parts.settings, parts.settings.place
    engine, arrivals = _search(parts)
    return ApiServer(
        home,
        settings,
        parts.clock,
        parts.metrics,
        engine=engine,
        stores=open_stores(settings, parts.clock),
        arrivals=arrivals,
        destination=destination_of(settings),
    )


def _search(parts: Parts) -> "tuple[Engine, Arrivals]":
    """Who answers questions, and who tells what is new."""
    settings, home = parts.settings, parts.settings.place
    if settings.search_engine == "opensearch":
        from opentrail_aggregator.opensearch.arrivals import OpenSearchArrivals
        from opentrail_aggregator.opensearch.cluster import Cluster
        from opentrail_aggregator.opensearch.engine import OpenSearchEngine

        cluster = Cluster(settings.opensearch)
        engine = OpenSearchEngine(cluster, settings.search, parts.clock)
        return engine, OpenSearchArrivals(home, engine)
    from opentrail_aggregator.api.arrivals import IndexArrivals
    from opentrail_aggregator.index.engine import IndexEngine

    return (
        IndexEngine(home, settings.search, parts.clock),
        IndexArrivals(home, parts.clock, settings.search.open_days_max),
    )


SERVING: dict[str, Callable[[Parts], ServingRole]] = {"ingest": _ingest, "api": _api}
STEPPING: dict[str, Callable[[Parts], SteppingRole]] = {
    "consolidate": _consolidate,
    "index": _index,
    "opensearch": _opensearch,
    "archive": _archive,
}
ROLES = ("ingest", "consolidate", "index", "opensearch", "archive", "api")

# Ingest alone, so that nothing delays an acknowledgement; index alone, because its engine wants a
# process with one Python thread; OpenSearch alone, so that a slow one holds nobody up; archive
# beside consolidate, whose pauses it fills. Of the two indexes those run that index.engine names.
DEFAULT_GROUPS = "ingest,consolidate+archive,index,opensearch,api"


def parse_groups(text: str) -> list[tuple[str, ...]]:
    """The processes that `text` asks for: `ingest,consolidate+archive` is two."""
    groups = [tuple(group.split("+")) for group in text.replace(" ", "").split(",")]
    named = [role for group in groups for role in group]
    for role in named:
        if role not in ROLES:
            raise UsageError(f"--roles: {role!r} is no role; there are {', '.join(ROLES)}")
        if named.count(role) > 1:
            raise UsageError(f"--roles: {role} is named twice; each role runs once")
    return groups


def groups_in_use(
    groups: list[tuple[str, ...]], settings: AggregatorSettings
) -> list[tuple[str, ...]]:
    """The groups without the index that `index.engine` does not name."""
    idle = {"index", "opensearch"} - set(settings.indexes)
    left = [tuple(role for role in group if role not in idle) for group in groups]
    found = [group for group in left if group]
    if not found:
        raise UsageError(
            f"--roles: nothing is left to run: index.engine is {settings.index.engine}"
        )
    return found
